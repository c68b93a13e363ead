"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
