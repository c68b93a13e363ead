"""Where the sample data are found: in an installation, in a checkout, or not at all."""

from __future__ import annotations

import pytest

from napari_ifa import samples
from napari_ifa.errors import CohortError
from tests.problems import refused


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_each_version_has_a_cohort_and_a_bundle(version):
    assert samples.cohort(version).is_file()
    assert (samples.bundle(version) / "models" / "model.pt").is_file()


def test_the_dicom_series_is_there():
    assert len(list(samples.dicom_series().glob("*.dcm"))) > 20


def test_an_unknown_version_is_refused():
    with refused(CohortError, samples.SampleProblem.NO_SUCH_VERSION):
        samples.bundle("dirty")


@pytest.mark.parametrize("place", ["src/napari_ifa/sample_data", "sample_data"])
def test_found_in_the_package_or_beside_the_source(tmp_path, monkeypatch, place):
    (tmp_path / place / "bundles").mkdir(parents=True)
    monkeypatch.setattr(samples, "PACKAGE", tmp_path / "src" / "napari_ifa")
    assert samples.sample_data() == tmp_path / place


def test_an_installation_without_them_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "PACKAGE", tmp_path / "src" / "napari_ifa")
    with refused(CohortError, samples.SampleProblem.MISSING):
        samples.sample_data()
