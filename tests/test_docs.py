"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from napari_ifa import explain, list_series, load_classifier, read_volume, samples

DOCS = Path(__file__).parents[1] / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["class_activation.md"])
def test_examples_of_a_page_run_one_after_the_other(page):
    examples = PYTHON.findall((DOCS / page).read_text("utf-8"))
    assert len(examples) > 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, page, "exec"), names)
    activation = names["activation"]
    assert activation.maps().shape == (2, 3, 2, 2, 2)
    assert names["fused"].maps().shape == (2, 1, 32, 32, 32)


def test_examples_of_the_analysis_run_one_after_the_other():
    examples = PYTHON.findall((DOCS / "analysis.md").read_text("utf-8"))
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "analysis.md", "exec"), names)
    assert len(names["analysis"].labels) == len(names["cohort"])


def test_examples_of_the_studies_run_with_a_study(monkeypatch, tmp_path):
    shutil.copytree(samples.dicom_series(), tmp_path / "study_folder")
    monkeypatch.chdir(tmp_path)
    (series,) = list_series("study_folder")
    (example,) = PYTHON.findall((DOCS / "studies.md").read_text("utf-8"))
    names: dict[str, object] = {}
    exec(compile(example.replace("3f9a01c2", series.key), "studies.md", "exec"), names)
    assert names["volume"].shape == series.shape


def test_examples_of_the_exports_run_with_an_explanation(monkeypatch, tmp_path):
    classifier = load_classifier(samples.bundle("clean"))
    explanation = explain(classifier, read_volume(samples.dicom_series()))
    monkeypatch.chdir(tmp_path)
    (example,) = PYTHON.findall((DOCS / "export.md").read_text("utf-8"))
    exec(compile(example, "export.md", "exec"), {"explanation": explanation})
    assert {path.name for path in tmp_path.iterdir()} == {
        *("s_cam.nii.gz", "s_cam.dcm", "s_cam_pictures"),
    }


def test_every_variable_of_the_file_stands_in_the_table():
    from napari_ifa.analysis.variables import VARIABLES

    page = (DOCS / "analysis.md").read_text("utf-8")
    table = page[page.index("| variable |") :]
    assert set(VARIABLES) <= set(re.findall(r"`([a-z_]+)`", table))


def test_every_method_stands_in_the_table():
    from napari_ifa.cam import METHODS

    page = (DOCS / "class_activation.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z+-]+)` \|", page, re.MULTILINE) == [
        *["cam", "gradcam", "gradcam++", "xgradcam", "layercam", "pixelwise"],
        *["scorecam", "ss-cam", "is-cam", "smoothgradcam++"],
    ]
    assert set(METHODS) <= set(re.findall(r"`([a-z+-]+)`", page))


def test_every_file_that_the_architecture_names_is_there():
    page = (DOCS / "architecture.md").read_text("utf-8")
    package = DOCS.parent / "src" / "napari_ifa"
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    missing = {
        name
        for name in named - {"__init__.py", "batches.py", "tags.py"}
        if not any(package.rglob(name) if "/" not in name else [package / name])
        or ("/" in name and not (package / name).is_file())
    }
    assert len(named) > 30
    assert not missing
