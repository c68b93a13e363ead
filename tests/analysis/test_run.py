from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_classifier, write_cohort

from napari_ifa.analysis import Analysis, analyze, load_analysis, read_cohort
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, Cancelled, CohortError

# Means 1, 2 and 0; the features are (x, −x).
BRIGHT = [8.0, 0, 0, 0, 0, 0, 0, 0]
BRIGHTER = [8.0, 8.0, 0, 0, 0, 0, 0, 0]
MIXED = [4.0, -4.0, 0, 0, 0, 0, 0, 0]
CASES = [(BRIGHT, "none"), (BRIGHTER, 1), (MIXED, 0)]


@pytest.fixture
def cohort(tmp_path: Path):
    return read_cohort(write_cohort(tmp_path, CASES), "training")


@pytest.fixture
def analysis(cohort) -> Analysis:
    return analyze(tiny_classifier(), cohort)


def test_every_number_of_a_tiny_cohort_by_hand(analysis: Analysis) -> None:
    # k = W · mean of the feature; the feature means are (1, −1), (2, −2), (0, 0)
    np.testing.assert_allclose(analysis.importance_all.values, [[1.0, 0.5], [0.0, -2.0]])
    # class 0: cases 1 and 3; class 1: case 2
    np.testing.assert_allclose(analysis.importance_true.values, [[0.5, 1.0], [0.0, -4.0]])
    data = analysis.dataset
    np.testing.assert_allclose(data["variance_all"].values[0, 0], 1.0)
    np.testing.assert_allclose(data["frequency_all"].values[0, 0], 2 / 3)
    np.testing.assert_allclose(data["logits"].values, [[11, 18.5], [12, 17], [10, 20]])
    np.testing.assert_allclose(data["activation_sum"].values, [[1, -1.5], [2, -3], [0, 0]])
    # class 0: a = 1/8 · x, so 8 gives 1; class 1: a = (0.5 − 2)/8 · x, so 8 gives −1.5
    np.testing.assert_allclose(data["activation_maximum"].values, [[1, 0], [1, 0], [0.5, 0.75]])
    np.testing.assert_allclose(
        data["activation_minimum"].values, [[0, -1.5], [0, -1.5], [-0.5, -0.75]]
    )
    assert data["label"].values.tolist() == [0, 1, 0]
    np.testing.assert_allclose(data["contribution"].values, [[1, 0], [1, -4], [0, 0]])


def test_every_voxel_of_every_case_is_in_the_distribution(analysis: Analysis) -> None:
    distribution = analysis.distribution()

    assert distribution.number.tolist() == [24, 24]
    # class 0: 1 three times, ½, −½, else 0
    assert distribution.counts[0][distribution.bins == 0].tolist() == [19]
    assert distribution.maximum.tolist() == [1.0, 0.75]
    assert distribution.mean[0] == pytest.approx(3 / 24)


def test_the_scale_follows_the_basis_and_the_percentiles_asked_for(analysis: Analysis) -> None:
    extremes = analysis.scale(0, basis="extremes")
    # minima 0, 0, −½ with median 0; maxima 1, 1, ½
    assert (extremes.low, extremes.high) == (50, 90)
    assert extremes.p_low == 0.0
    assert extremes.p_high == 1.0
    voxels = analysis.scale(0, low=0, high=100)
    assert (voxels.p_low, voxels.p_high) == (-0.5, 1.0)
    both = analysis.scale(0, low=0, high=100, scope="all")
    assert (both.p_low, both.p_high) == (-1.5, 1.0)
    # 19 of the 24 voxels are exactly 0, so P10 and P80 are the same
    with pytest.raises(AnalysisError, match="needs two different values"):
        analysis.scale(0, low=10, high=80)


def test_batches_of_any_size_give_the_same_analysis(cohort, analysis: Analysis) -> None:
    for size in (2, 3, 16):
        other = analyze(tiny_classifier(), cohort, batch_size=size).dataset
        for name, variable in analysis.dataset.data_vars.items():
            np.testing.assert_allclose(other[name].values, variable.values, rtol=1e-6, err_msg=name)


def test_the_file_gives_back_what_was_analysed(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "analysis.nc"
    analysis.save(path)

    again = load_analysis(path, tiny_classifier())

    assert again.dataset.identical(analysis.dataset)
    assert again.class_names == ("none", "lesion")
    assert again.method == "gradcam"
    assert [p.name for p in path.parent.iterdir()] == ["analysis.nc"], "no part is left behind"


def test_an_analysis_of_another_model_is_refused(analysis: Analysis) -> None:
    with pytest.raises(AnalysisMismatchError, match="weights differ"):
        analysis.check(tiny_classifier(bent=True))
    analysis.check(tiny_classifier())


@pytest.mark.parametrize("content", [b"", b"no netcdf at all", b"\x89HDF\r\n\x1a\n" + b"x" * 100])
def test_a_damaged_file_is_said_to_be_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "analysis.nc"
    path.write_bytes(content)

    with pytest.raises(AnalysisError, match=r"analysis\.nc is damaged or is no analysis file"):
        load_analysis(path)


def test_a_file_of_a_newer_version_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    newer = Analysis(analysis.dataset.assign_attrs(format_version=99))
    newer.save(tmp_path / "analysis.nc")

    with pytest.raises(AnalysisError, match="newer napari-ifa"):
        load_analysis(tmp_path / "analysis.nc")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.assign_attrs(format_version="x"), "newer napari-ifa"),
        (
            lambda d: d.drop_attrs(deep=False).assign_attrs(format_version=1),
            "lacks a right 'method'",
        ),
        (lambda d: d.drop_vars("voxel_count"), "lacks a right 'voxel_count'"),
        (
            lambda d: d.assign(importance_all=d["importance_all"].T),
            "lacks a right 'importance_all'",
        ),
    ],
)
def test_a_file_that_lacks_something_is_refused(analysis, change, reason, tmp_path: Path) -> None:
    Analysis(change(analysis.dataset)).save(tmp_path / "analysis.nc")

    with pytest.raises(AnalysisError, match=reason):
        load_analysis(tmp_path / "analysis.nc")


def test_cases_without_labels_count_for_no_class(tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, None), (BRIGHTER, 1)]))

    found = analyze(tiny_classifier(), cohort)

    assert np.isnan(found.importance_true.values[:, 0]).all()
    np.testing.assert_allclose(found.importance_true.values[:, 1], [1.0, -4.0])
    np.testing.assert_allclose(found.importance_all.values[0, 0], 1.5)


def test_progress_is_told_and_a_stop_ends_the_work(cohort) -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(Cancelled, match="after 1 of 3 cases"):
        analyze(
            tiny_classifier(),
            cohort,
            progress=lambda done, total: told.append((done, total)),
            stop=lambda: bool(told),
        )
    assert told == [(1, 3)]


@pytest.mark.parametrize(
    ("label", "reason"), [("stroke", "no class 'stroke'"), (7, "no class '7'")]
)
def test_a_label_that_the_model_lacks_names_the_case(label, reason: str, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHT, label)]))

    with pytest.raises(CohortError, match=rf"case_1\.nii.*{reason}"):
        analyze(tiny_classifier(), cohort)


def test_a_case_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    datalist = write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHT, 1)])
    (tmp_path / "case_1.nii").write_bytes(b"broken")

    with pytest.raises(CohortError, match=r"case_1\.nii cannot be used"):
        analyze(tiny_classifier(), read_cohort(datalist))
