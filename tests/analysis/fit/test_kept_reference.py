"""The reference in an analysis: carried by shards, kept in the file, checked when it is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr

from napari_ifa.analysis import Analysis, analyze, explain, load_analysis
from napari_ifa.analysis.fit.cohort_words import cases_outside, reference_sentences
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.reading import read_volume
from tests.tiny import tiny_classifier, write_cohort

CASES = 30
OLDER = Path(__file__).parents[1] / "data" / "format_1.nc"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    random = np.random.default_rng(5)
    cases = [(random.normal(size=8).tolist(), n % 2) for n in range(CASES)]
    return read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), cases), "training")


@pytest.fixture(scope="module")
def whole(cohort: Cohort) -> Analysis:
    return analyze(tiny_classifier(), cohort)


@pytest.fixture(scope="module")
def file(whole: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "analysis.nc"
    whole.save(path)
    return path


def image(folder: Path, values: np.ndarray, spacing: float = 1.0) -> Path:
    path = folder / "new.nii"
    affine = np.diag([spacing] * 3 + [1.0])
    nibabel.save(nibabel.Nifti1Image(values.reshape(2, 2, 2).astype(np.float32), affine), path)
    return path


def test_shards_and_batches_of_any_size_give_the_same_reference(cohort, whole):
    other = analyze(tiny_classifier(), cohort, shard_size=7, batch_size=3)

    np.testing.assert_allclose(other.reference.distances, whole.reference.distances, rtol=1e-4)
    assert other.reference.header == whole.reference.header


def test_every_statistic_of_every_case_is_kept(whole):
    reference = whole.reference

    assert set(reference.spreads) == {"intensities", "early", "features"}
    assert reference.distances.shape == (CASES, 3)
    assert np.isfinite(reference.distances).all()
    assert reference.independent == CASES
    # Quantiles of one channel; mean and deviation of two channels; two pooled features.
    assert [len(s.mean) for s in reference.spreads.values()] == [9, 4, 2]


def test_the_features_are_pooled_over_the_grid(cohort, whole):
    means = [np.asarray(case.read().array, float).mean() for case in cohort.cases]

    # The tiny network's features are the image and its negative.
    assert whole.reference.spreads["features"].mean == pytest.approx(
        [np.mean(means), -np.mean(means)], rel=1e-5
    )


def test_the_reference_comes_back_from_the_file(whole, file):
    found = load_analysis(file).reference

    np.testing.assert_allclose(found.distances, whole.reference.distances)
    assert found.header == whole.reference.header
    assert found.independent == whole.reference.independent
    assert found.patients == whole.reference.patients
    values = np.random.default_rng(1).normal(size=(4, 9))
    for name, spread in whole.reference.spreads.items():
        numbers = values[:, : len(spread.mean)]
        assert found.spreads[name].distance(numbers) == pytest.approx(spread.distance(numbers))


def test_an_explanation_is_compared_in_its_own_pass(whole, tmp_path, monkeypatch):
    classifier, passes = tiny_classifier(), []
    classifier.network.features.register_forward_hook(lambda *_: passes.append(1))
    explain(classifier, read_volume(image(tmp_path, np.arange(8.0))))
    without = len(passes)
    passes.clear()

    explanation = explain(classifier, read_volume(image(tmp_path, np.arange(8.0) * 50)), whole)
    fit = explanation.fit

    assert len(passes) == without
    assert fit.outside
    assert "intensities" in fit.differs
    assert explanation.select(class_idx=0).fit == fit


def test_a_new_case_like_the_others_is_not_seen_to_differ(whole, tmp_path):
    values = np.random.default_rng(99).normal(size=8)

    fit = explain(tiny_classifier(), read_volume(image(tmp_path, values)), whole).fit

    assert not fit.outside
    assert fit.references == CASES


def test_another_spacing_is_named(whole, tmp_path):
    values = np.random.default_rng(99).normal(size=8)

    fit = explain(tiny_classifier(), read_volume(image(tmp_path, values, 3.0)), whole).fit

    assert fit.differs[:2] == ("spacing", "size")


def test_a_case_of_the_cohort_is_compared_with_the_others(cohort, whole):
    fit = explain(tiny_classifier(), cohort.cases[4].read(), whole).fit

    ratios = whole.reference.distances[4] / whole.reference.units
    assert fit.score == pytest.approx(ratios.max())
    assert "own" in fit.notes[0]


def test_without_an_analysis_there_is_no_fit(cohort):
    assert explain(tiny_classifier(), cohort.cases[0].read()).fit is None


def test_an_older_file_is_opened_and_says_that_it_kept_no_reference(file, tmp_path, cohort):
    with xr.open_dataset(file) as dataset:
        older = dataset.load()
    older = older.drop_vars([name for name in older if str(name).startswith("reference_")])
    del older.attrs["reference_header"]
    path = tmp_path / "older.nc"
    older.to_netcdf(path, engine="h5netcdf")

    analysis = load_analysis(path)
    fit = explain(tiny_classifier(), cohort.cases[0].read(), analysis).fit

    assert analysis.reference is None
    assert not fit.known
    assert not fit.outside
    assert reference_sentences(analysis) == fit.notes
    assert cases_outside(analysis) == ()


def test_the_first_format_has_no_reference():
    assert load_analysis(OLDER).reference is None


DAMAGES: dict[str, Callable[[xr.Dataset], object]] = {
    "reference_distance": lambda d: d["reference_distance"].values.__setitem__((0, 0), -1.0),
    "reference_features_mean": lambda d: d["reference_features_mean"].values.fill(np.nan),
    "reference_features_deviation": lambda d: d["reference_features_deviation"].values.fill(0.0),
    "reference_early_variance": lambda d: d["reference_early_variance"].values.fill(-1.0),
    "reference_early_rest": lambda d: d["reference_early_rest"].values.fill(np.inf),
    "reference_early_axes": lambda d: d["reference_early_axes"].values.fill(7.0),
    "reference_header": lambda d: d.attrs.__setitem__("reference_header", "{}"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_contents_that_cannot_be_are_refused_by_name(name, file, tmp_path):
    with xr.open_dataset(file) as dataset:
        damaged = dataset.load()
    DAMAGES[name](damaged)
    path = tmp_path / "damaged.nc"
    damaged.to_netcdf(path, engine="h5netcdf")

    with pytest.raises(AnalysisError, match=name):
        load_analysis(path)


def test_a_part_of_a_reference_alone_is_refused(file, tmp_path):
    with xr.open_dataset(file) as dataset:
        part = dataset.load().drop_vars("reference_early_rest")
    path = tmp_path / "part.nc"
    part.to_netcdf(path, engine="h5netcdf")

    with pytest.raises(AnalysisError, match="reference_early"):
        load_analysis(path)
