from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.figures.drawing import plain_label
from napari_ifa.evaluation.figures.summary import binned_shares
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.summary.cases import cohort_names
from napari_ifa.evaluation.summary.summary import summary_sections
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

# Means 1, 2 and 0; the features are (x, −x).
BRIGHT = [8.0, 0, 0, 0, 0, 0, 0, 0]
BRIGHTER = [8.0, 8.0, 0, 0, 0, 0, 0, 0]
MIXED = [4.0, -4.0, 0, 0, 0, 0, 0, 0]
EMPTY = [0.0] * 8
CASES = [(BRIGHT, "none"), (BRIGHTER, 1), (MIXED, 0)]


def analysed(folder: Path, cases, **options) -> Analysis:
    folder.mkdir(exist_ok=True)
    cohort = replace(read_cohort(write_cohort(folder, cases)), name=folder.name, notes=())
    return analyze(tiny_classifier(), cohort, **options)


def summary(analysis: Analysis, other: Analysis | None = None) -> dict[str, Section]:
    sections = summary_sections(analysis, other)
    for section in sections:
        for row in section.rows:
            assert list(row) == list(section.columns), section.key
    return {section.key: section for section in sections}


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    return analysed(tmp_path / "train", CASES)


def test_the_cohort_counts_its_cases_by_class(analysis: Analysis) -> None:
    found = summary(analysis)

    assert list(found) == ["cohort", "accuracy", "scale", "importance"]
    # every case is answered "lesion"
    assert [tuple(row.values()) for row in found["cohort"].rows] == [
        ("train", "none", 2, 0, 0.0),
        ("train", "lesion", 1, 1, 1.0),
    ]
    assert "3 cases analysed, 3 with a label; 0 skipped" in found["cohort"].meaning


def test_accuracy_stands_with_its_interval(analysis: Analysis) -> None:
    accuracy = summary(analysis)["accuracy"]

    first = accuracy.rows[0]
    assert (first["measure"], first["value"], first["cases"]) == ("accuracy", 1 / 3, 3)
    assert first["interval"] == "Wilson"
    assert "accuracy 0.333 (95 % interval 0.0615 to 0.792)" in accuracy.meaning
    texts = [text.get_text() for text in accuracy.draw().axes[0].texts]
    assert texts == ["0", "2", "0", "1"], "rows are the true class"


def test_the_scale_by_hand(analysis: Analysis) -> None:
    found = summary(analysis)["scale"]

    row = found.rows[0]
    assert (row["class"], row["basis"], row["low"], row["high"]) == ("none", "voxels", 10, 90)
    # −½, nineteen zeros, ½, 1, 1, 1: P10 is 0, and P90 at rank 20.7 is ½ + 0.7·½
    assert (row["p_low"], row["p_high"]) == pytest.approx((0, 0.85), abs=1e-3)
    assert row["neutral"] == pytest.approx(0.1)
    assert row["alpha"] == pytest.approx((np.arctanh(0.9) - np.arctanh(0.1)) / 0.85, rel=1e-3)
    assert (row["voxels"], row["not_finite"], row["note"]) == (24, 0, "")
    extremes = found.rows[1]
    # minima 0, 0, −½ with median 0; maxima 1, 1, ½ with P90 1
    assert (extremes["basis"], extremes["low"], extremes["p_low"], extremes["p_high"]) == (
        *("extremes", 50, 0, 1),
    )
    # magnitudes ½, 1, 1 of the cases with P90 1; of the voxels nineteen zeros, ½, ½, 1, 1, 1: rank
    # 20.7 lies at ½ + 0.7·½
    centred, of_cases = found.rows[2:4]
    assert (centred["form"], centred["p_low"], centred["p_high"]) == (
        *("centred", pytest.approx(-0.85, abs=1e-3), pytest.approx(0.85, abs=1e-3)),
    )
    assert (of_cases["p_low"], of_cases["p_high"], of_cases["neutral"]) == (-1, 1, 0)
    assert [row["for_reading"] for row in found.rows[:4]] == [False, False, True, False]
    assert of_cases["width_low"] <= 2 <= of_cases["width_high"]
    assert "3 cases, too few to rely on," in found.meaning
    for c, form in ((0, "paper"), (1, "paper"), (1, "centred")):
        scale = analysis.scale(c, form=form)
        row = found.rows[4 * c + 2 * (form == "centred")]
        assert (row["alpha"], row["beta"]) == (scale.alpha, scale.beta)


def test_a_constant_class_has_a_reason_and_no_crash(tmp_path: Path) -> None:
    found = summary(analysed(tmp_path / "dark", [(EMPTY, 0), (EMPTY, 1)]))

    for row in found["scale"].rows:
        assert np.isnan([row["alpha"], row["neutral"]]).all()
        why = {"paper": "needs two different values", "centred": "needs one above 0"}[row["form"]]
        assert why in row["note"]
    assert "no class has a common scale" in found["scale"].meaning
    found["scale"].draw().savefig(tmp_path / "scale.png")


def test_importance_lists_the_top_features_with_their_interval(analysis: Analysis) -> None:
    found = summary(analysis)["importance"]

    first, second, third, _ = found.rows
    # k of feature 0 is 1 and 0 in the cases of "none"; two cases are too few for an interval
    assert (first["class"], first["rank"], first["feature"], first["cases"]) == ("none", 1, 0, 2)
    assert first["importance"] == 0.5
    assert np.isnan([first["low"], first["high"]]).all()
    assert (first["frequency"], first["share"]) == (0.5, 1.0)
    assert (second["feature"], second["importance"], second["share"]) == (1, 0, 0)
    assert (third["class"], third["importance"], third["share"]) == ("lesion", 1, 1)
    assert np.isnan([third["low"], third["high"]]).all()


def test_importance_has_students_interval_over_cases_or_patients(tmp_path: Path) -> None:
    """k of feature 0 is 1 in 16 cases and 0 in 16: s² = 8/31, and t₃₁ = 2.0395."""
    found = analysed(tmp_path / "a", [(BRIGHT, 0), (MIXED, 0)] * 16)

    def row(patients: np.ndarray) -> dict[str, object]:
        dataset = found.dataset.assign(group=("case", patients.astype(np.uint64) + 1))
        return dict(summary(Analysis(dataset))["importance"].rows[0])

    (first, *_) = summary(found)["importance"].rows
    half = 2.03951 * np.sqrt(8 / 31 / 32)
    assert (first["low"], first["high"]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    alone = row(np.arange(32))
    assert (alone["low"], alone["high"]) == pytest.approx((first["low"], first["high"]))
    # 16 patients with both of their cases alike: s² = 16·¼/15 over patients, and t₁₅ = 2.1314
    alike = row(np.arange(32) // 4 * 2 + np.arange(32) % 2)
    half = 2.13145 * np.sqrt(4 / 15 / 16)
    assert (alike["low"], alike["high"]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    # eight patients are too few
    assert np.isnan(row(np.arange(32) // 4)["low"])


def test_a_class_without_a_case_has_no_number_and_is_hatched(tmp_path: Path) -> None:
    found = summary(analysed(tmp_path / "a", [(BRIGHT, 1), (BRIGHTER, 1)]))["importance"]

    nothing = found.rows[0]
    assert (nothing["class"], nothing["feature"], nothing["importance"]) == ("none", None, None)
    assert "No case is of 'none': no number, hatched" in found.meaning
    axes = found.draw().axes[0]
    (hatched,) = axes.collections
    assert hatched.get_hatch() == "///"
    assert [path.get_extents().bounds for path in hatched.get_paths()] == [(-0.5, -0.5, 2, 1)]
    assert np.isnan(axes.images[0].get_array().filled(np.nan)[0]).all(), "no colour, not zero's"


def test_without_labels_accuracy_is_absent_and_said_so(tmp_path: Path) -> None:
    found = summary(analysed(tmp_path / "a", [(BRIGHT, None), (BRIGHTER, None)]))

    assert found["accuracy"].rows == ()
    assert found["accuracy"].draw is None
    assert "no case has a label" in found["accuracy"].meaning
    assert found["cohort"].rows[-1]["class"] == "(no label)"
    assert "mean contribution over all cases" in found["importance"].meaning
    # k of feature 0 and "none": 1 and 2
    assert found["importance"].rows[0]["importance"] == 1.5


def test_what_is_wrong_with_the_cohort_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    write_cohort(folder, [(BRIGHT, 0), (BRIGHTER, 1), (BRIGHT, 1), (MIXED, 0)])
    (folder / "case_3.nii").write_bytes(b"broken")
    cohort = replace(read_cohort(folder / "datalist.json"), notes=("Case x stands twice.",))

    found = summary(analyze(tiny_classifier(), cohort, skip_up_to=0.5))

    rows = [tuple(row.values())[1:3] for row in found["cohort_remarks"].rows]
    assert rows == [("skipped", "case_3.nii"), ("duplicate", "case_2.nii"), ("note", "")]
    assert found["cohort_remarks"].rows[1]["remark"].endswith("as case_0.nii")
    assert "1 skipped, 1 the same image as another" in found["cohort"].meaning


@pytest.mark.parametrize(
    ("note", "is_remark"),
    [
        ("Classes: healthy (10), lesion (2).", False),
        ("Labels are values from -1.5 to 9.", False),
        ("25 classes, of 1 to 20 cases each.", False),
        ("Labels are missing for 2 of 9 cases: accuracy leaves them out.", True),
        ("2 images are listed more than once.", True),
    ],
)
def test_a_note_that_only_counts_labels_is_no_remark(
    note: str, is_remark: bool, analysis: Analysis
) -> None:
    found = summary(Analysis(analysis.dataset.assign_attrs(notes=note)))

    assert ("cohort_remarks" in found) is is_remark


def test_the_notes_of_a_list_itself_make_no_remark(tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, CASES))
    assert cohort.notes, "it counts its labels"

    assert "cohort_remarks" not in summary(analyze(tiny_classifier(), cohort))


def test_an_image_in_both_cohorts_is_told(tmp_path: Path, analysis: Analysis) -> None:
    other = analysed(tmp_path / "test", [(MIXED, 0), ([2.0, *EMPTY[1:]], 1)])

    found = summary(analysis, other)

    (row,) = found["cohort_remarks"].rows
    assert tuple(row.values()) == (
        *("test", "in both", "case_0.nii"),
        "the same image to the model as case_2.nii of train",
    )
    assert "1 image in both cohorts" in found["cohort_remarks"].meaning


def test_a_second_cohort_stands_beside_the_first(tmp_path: Path, analysis: Analysis) -> None:
    found = summary(analysis, analysed(tmp_path / "test", [(BRIGHTER, 1), (EMPTY, 1)]))

    for section in found.values():
        assert {row["cohort"] for row in section.rows} <= {"train", "test"}
    for key in ("cohort", "accuracy", "scale", "importance"):
        assert {row["cohort"] for row in found[key].rows} == {"train", "test"}
    assert len(found["accuracy"].draw().axes) == 3, "two tables and a colour bar"
    assert len(found["importance"].draw().axes) == 8, (
        "two rows for each cohort, and a colour bar each"
    )
    found["scale"].draw().savefig(tmp_path / "scale.svg")


def test_analyses_of_two_models_do_not_stand_beside_each_other(analysis: Analysis) -> None:
    other = Analysis(analysis.dataset.assign_coords({"class": ["none", "stroke"]}))

    with refused(AnalysisMismatchError, EvaluationProblem.CLASSES_OR_FEATURES):
        summary_sections(analysis, other)


def test_a_regression_has_errors_in_place_of_accuracy(analysis: Analysis, tmp_path: Path) -> None:
    data = analysis.dataset.isel({"class": [0]}).assign_attrs(output_activation="none")
    data["label"] = ("case", [-1, -1, -1])
    # the answers are 11, 12 and 10
    data["target"] = ("case", [10.0, 12.0, np.nan])

    found = summary(Analysis(data))

    error = found["accuracy"].rows[0]
    assert (error["measure"], error["value"], error["cases"]) == ("mean absolute error", 0.5, 2)
    assert found["cohort"].rows[0]["right"] is None
    assert "2 with a value of 10 to 12;" in found["cohort"].meaning
    neutral = analysis.scale(0).neutral
    assert f"at an S-CAM of {neutral:.3g} on the scale" in found["scale"].meaning
    assert "above it a voxel raises the answer" in found["scale"].meaning
    assert "make 100 % of what raises the answer." in found["importance"].meaning
    assert found["accuracy"].draw().axes[0].get_ylabel() == "value answered"
    assert len(found["importance"].draw().axes) == 2, "one class has no mean over classes"


def test_voxels_that_are_not_finite_are_counted(analysis: Analysis) -> None:
    data = analysis.dataset.copy(deep=True)
    data["voxel_not_finite"][:] = [0, 3]

    found = summary(Analysis(data))["scale"]

    assert [row["not_finite"] for row in found.rows] == [0] * 4 + [3] * 4
    assert "3 voxels are infinite or not a number" in found.meaning


def test_cohorts_are_told_apart_by_name_or_split_or_number(analysis: Analysis) -> None:
    def named(name: str, split: str = "") -> Analysis:
        return Analysis(analysis.dataset.assign_attrs(cohort_name=name, cohort_split=split))

    assert cohort_names(named("heads", "test")) == ("heads (test)",)
    assert cohort_names(named("heads", "train"), named("heads", "test")) == ("train", "test")
    assert cohort_names(named("a", "test"), named("b", "test")) == ("a (test)", "b (test)")
    assert cohort_names(named("a"), named("a")) == ("a, 1", "a, 2")
    assert cohort_names(named("")) == ("cohort",)


def test_bars_hold_all_but_the_zeros() -> None:
    distribution = Distribution.of(torch.tensor([[-2.0, -0.5, 0, 0, 0, 0.5, 0.5, 3]]))

    share, zero = binned_shares(distribution, 0, np.array([-4.0, -1, 0, 1, 4]))

    np.testing.assert_allclose(share, [12.5, 12.5, 25, 12.5])
    assert zero == 37.5


def test_a_label_is_short_and_no_formula() -> None:
    assert plain_label("$x$\n y\x07") == r"\$x\$ y�"
    assert plain_label("a" * 25 + "b" * 25, 10) == "aaaaa…bbbb"
