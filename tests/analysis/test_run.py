from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from napari_ifa.analysis import Analysis, analyze, load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.cohorts.truth import Truth
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, Cancelled, CohortError
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

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
    np.testing.assert_allclose(data["variance_true"].values[:, 0], [0.5, 0.0])
    assert np.isnan(data["variance_true"].values[:, 1]).all(), "one case has no variance"
    np.testing.assert_allclose(data["frequency_true"].values, [[0.5, 1.0], [0.0, 0.0]])
    # the answers are class 1 throughout: only the second case is right
    assert data["cases_correct"].values.tolist() == [0, 1]
    np.testing.assert_allclose(data["importance_true_correct"].values[:, 1], [1.0, -4.0])
    assert np.isnan(data["importance_true_correct"].values[:, 0]).all()
    assert (int(data["cases_all"]), data["cases_true"].values.tolist()) == (3, [2, 1])
    assert data["label"].values.tolist() == [0, 1, 0]
    np.testing.assert_allclose(data["contribution"].values, [[1, 0], [1, -4], [0, 0]])


def test_every_voxel_of_every_case_is_in_the_distribution(analysis: Analysis) -> None:
    distribution = analysis.distribution()

    assert distribution.number.tolist() == [24, 24]
    # class 0: 1 three times, ½, −½, else 0
    assert distribution.counts[0][distribution.bins == 0].tolist() == [19]
    assert distribution.maximum.tolist() == [1.0, 0.75]
    assert distribution.mean[0] == pytest.approx(3 / 24)
    # 3 · 1² + 2 · ½² − 24 · (3/24)²
    assert distribution.sum_of_squares[0] == pytest.approx(3.5 - 9 / 24)


def test_the_percentile_of_a_value_says_how_much_of_the_cohort_is_lower(analysis: Analysis) -> None:
    # class 0: −½ once, 0 nineteen times, ½ once, 1 three times
    assert analysis.percentile_of(0.25, 0) == pytest.approx(100 * 20 / 24)
    assert analysis.percentile_of(1.0, 0) == pytest.approx(100 * (21 + 1.5) / 24)
    assert analysis.percentile_of(-1.0, 0) == 0.0
    assert analysis.percentile_of(2.0, 0) == 100.0
    # peaks 1, 1, ½
    assert analysis.percentile_of(0.75, 0, "peaks") == pytest.approx(100 / 3)
    assert analysis.percentile_of(-0.25, 0, "valleys") == pytest.approx(100 / 3)
    # class 1 adds −1.5 three times, −0.75 once, 0.75 once, 0 nineteen times
    assert analysis.percentile_of(-1.0, 0, scope="all") == pytest.approx(100 * 3 / 48)


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
    with pytest.raises(AnalysisError) as caught:
        analysis.scale(0, low=10, high=80)
    assert caught.value.kind is AnalysisProblem.NO_SCALE


def test_batches_of_any_size_give_the_same_analysis(cohort, analysis: Analysis) -> None:
    for size in (1, 2, 3, 16):
        other = analyze(tiny_classifier(), cohort, batch_size=size).dataset
        for name, variable in analysis.dataset.data_vars.items():
            if variable.dtype.kind in "fiu":
                np.testing.assert_allclose(other[name], variable, rtol=1e-6, err_msg=name)


def test_the_file_gives_back_what_was_analysed(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "analysis.nc"
    analysis.save(path)

    again = load_analysis(path, tiny_classifier())

    assert again.dataset.identical(analysis.dataset)
    assert again.class_names == ("none", "lesion")
    assert again.method == "gradcam"
    assert [p.name for p in path.parent.iterdir()] == ["analysis.nc"], "no part is left behind"


def test_an_analysis_of_another_model_is_refused(analysis: Analysis) -> None:
    with pytest.raises(AnalysisMismatchError) as caught:
        analysis.check(tiny_classifier(bent=True))
    assert caught.value.kind is AnalysisProblem.OTHER_MODEL
    assert caught.value.facts["different"] == ["weights"]
    analysis.check(tiny_classifier())


def test_an_analysis_made_with_other_code_or_settings_is_refused(analysis: Analysis) -> None:
    changed = replace(tiny_classifier(), code_sha256="other", referred_definition="other")
    with pytest.raises(AnalysisMismatchError) as caught:
        analysis.check(changed)
    assert caught.value.kind is AnalysisProblem.OTHER_MODEL
    assert caught.value.facts["different"] == ["settings", "code"]

    # An earlier file knows neither: it is for bundles without code of their own.
    attributes = dict(analysis.dataset.attrs)
    del attributes["model_settings"], attributes["model_code"]
    dataset = analysis.dataset.copy()
    dataset.attrs = attributes
    Analysis(dataset).check(tiny_classifier())
    Analysis(dataset).check(replace(tiny_classifier(), referred_definition="some"))
    with pytest.raises(AnalysisMismatchError) as caught:
        Analysis(dataset).check(changed)
    assert caught.value.kind is AnalysisProblem.OTHER_MODEL
    assert caught.value.facts["different"] == ["code"]


@pytest.mark.parametrize("content", [b"", b"no netcdf at all", b"\x89HDF\r\n\x1a\n" + b"x" * 100])
def test_a_damaged_file_is_said_to_be_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "analysis.nc"
    path.write_bytes(content)

    with refused(AnalysisError, AnalysisProblem.DAMAGED, file="analysis.nc"):
        load_analysis(path)


def test_a_file_of_a_newer_version_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    for version in (99, "x"):
        newer = Analysis(analysis.dataset.assign_attrs(format_version=version))
        newer.save(tmp_path / f"{version}.nc")

        with refused(AnalysisError, AnalysisProblem.NEWER, version=str(version)):
            load_analysis(tmp_path / f"{version}.nc")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda d: d.drop_attrs(deep=False).assign_attrs(format_version=2),
            "method",
        ),
        (lambda d: d.drop_vars("voxel_count"), "voxel_count"),
        (lambda d: d.assign(label=d["label"] + 7), "label"),
        (lambda d: d.assign(voxel_count=-d["voxel_count"]), "voxel_count"),
        (lambda d: d.assign(voxel_mean=d["voxel_mean"] * np.nan), "voxel_mean"),
        (lambda d: d.assign(logits=d["logits"].astype(str)), "logits"),
        (lambda d: d.assign_coords(bin=d["bin"][::-1].values), "bin"),
        (lambda d: d.drop_vars("fine_step"), "fine_value"),
        (lambda d: d.assign(fine_bins=d["fine_bins"] + 1), "fine_bins"),
        (lambda d: d.assign(fine_step=d["fine_step"] - 1), "fine_step"),
        (lambda d: d.assign(fine_count=d["fine_count"] + 1), "fine_count"),
        (lambda d: d.assign(fine_value=d["fine_value"] * np.inf), "fine_value"),
        (lambda d: d.assign(fine_value=d["fine_value"] * 0), "fine_value"),
        (
            lambda d: d.assign(importance_all=d["importance_all"].T),
            "importance_all",
        ),
    ],
)
def test_a_file_that_lacks_something_is_refused(analysis, change, what, tmp_path: Path) -> None:
    Analysis(change(analysis.dataset)).save(tmp_path / "analysis.nc")

    with refused(AnalysisError, AnalysisProblem.WRONG_CONTENT, what=what):
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
            batch_size=1,
            progress=lambda done, total: told.append((done, total)),
            stop=lambda: bool(told),
        )
    assert told == [(1, 3)]


@pytest.mark.parametrize("label", ["stroke", 7])
def test_a_label_that_the_model_lacks_names_the_case(label, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHT, label)]))

    with refused(CohortError, CohortProblem.NO_SUCH_CLASS, case="case_1.nii"):
        analyze(tiny_classifier(), cohort)


def test_a_case_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    datalist = write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHT, 1)])
    (tmp_path / "case_1.nii").write_bytes(b"broken")

    with refused(CohortError, CohortProblem.TOO_MANY_SKIPPED, case="case_1.nii"):
        analyze(tiny_classifier(), read_cohort(datalist))


def many(tmp_path: Path, broken: list[int]) -> Path:
    datalist = write_cohort(tmp_path, [(BRIGHT, n % 2) for n in range(20)])
    for n in broken:
        (tmp_path / f"case_{n}.nii").write_bytes(b"broken")
    return datalist


def test_few_cases_that_cannot_be_read_are_skipped_and_listed(tmp_path: Path) -> None:
    cohort = read_cohort(many(tmp_path, [7]))

    found = analyze(tiny_classifier(), cohort, batch_size=4)
    found.save(tmp_path / "analysis.nc")
    again = load_analysis(tmp_path / "analysis.nc")

    for analysis in (found, again):
        assert int(analysis.dataset["cases_all"]) == 19
        assert analysis.dataset["cases_true"].values.tolist() == [10, 9]
        ((name, reason),) = analysis.skipped
        assert name == "case_7.nii"
        assert reason.endswith(".")
        assert "case_7.nii" not in analysis.case_ids
        assert len(analysis.labels) == len(analysis.case_ids) == 19
    np.testing.assert_allclose(found.importance_all.values, [[1.0, 0.5], [0.0, -2.0]])


def test_more_than_the_stated_share_of_skipped_cases_is_refused(tmp_path: Path) -> None:
    cohort = read_cohort(many(tmp_path, [3, 7]))

    kind = CohortProblem.TOO_MANY_SKIPPED
    with refused(CohortError, kind, case="case_3.nii", skipped=2, most=1):
        analyze(tiny_classifier(), cohort)
    assert len(analyze(tiny_classifier(), cohort, skip_up_to=0.1).skipped) == 2


def test_skipped_cases_are_counted_over_shards(tmp_path: Path) -> None:
    cohort = read_cohort(many(tmp_path, [1, 18]))

    with pytest.raises(CohortError) as caught:
        analyze(tiny_classifier(), cohort, shard_size=5)
    assert caught.value.kind is CohortProblem.TOO_MANY_SKIPPED
    assert caught.value.facts["skipped"] == 2


def test_a_case_whose_values_are_no_numbers_is_skipped_and_its_batch_is_not(tmp_path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), ([np.nan] * 8, 0), (BRIGHTER, 1)]))

    found = analyze(tiny_classifier(), cohort, skip_up_to=0.5, batch_size=3)

    assert [name for name, _ in found.skipped] == ["case_1.nii"]
    assert "not finite" in found.skipped[0][1]
    np.testing.assert_allclose(found.logits, [[11, 18.5], [12, 17]])


def test_a_cohort_in_which_nothing_can_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        analyze(tiny_classifier(), read_cohort(many(tmp_path, list(range(20)))))
    assert caught.value.kind is CohortProblem.TOO_MANY_SKIPPED
    assert caught.value.facts["case"] == "case_0.nii"
    (tmp_path / "all").mkdir()
    none = read_cohort(many(tmp_path / "all", list(range(20))))
    with pytest.raises(CohortError) as caught:
        analyze(tiny_classifier(), none, skip_up_to=1)
    assert caught.value.kind is CohortProblem.NONE_USABLE
    assert caught.value.facts["case"] == "case_0.nii"


def test_a_method_that_there_is_not_is_said_to_be_none(cohort) -> None:
    with pytest.raises(AnalysisError) as caught:
        analyze(tiny_classifier(), cohort, "gradcamm")
    assert caught.value.kind is AnalysisProblem.NO_METHOD
    assert caught.value.facts["method"] == "gradcamm"


def test_an_empty_cohort_is_refused() -> None:
    with pytest.raises(CohortError) as caught:
        analyze(tiny_classifier(), Cohort("none", ()))
    assert caught.value.kind is CohortProblem.EMPTY


def test_a_network_whose_answer_is_constant_is_refused(cohort) -> None:
    classifier = tiny_classifier()
    classifier.network.linear.weight.data.zero_()

    with pytest.raises(CohortError, match="is exactly zero"):
        analyze(classifier, cohort)


def test_images_that_are_equal_to_the_network_are_reported(analysis, tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (MIXED, 1), (BRIGHT, 1)]))

    assert analyze(tiny_classifier(), cohort).duplicates == (("case_0.nii", "case_2.nii"),)
    assert analysis.duplicates == ()


def test_profiles_can_be_left_out_or_halved(cohort, analysis: Analysis) -> None:
    without = analyze(tiny_classifier(), cohort, profiles="none")
    half = analyze(tiny_classifier(), cohort, profiles="float16")

    assert without.profiles is None
    assert half.dataset["contribution"].dtype == np.float16
    np.testing.assert_allclose(half.profiles, analysis.profiles, rtol=1e-3)
    np.testing.assert_allclose(without.importance_true, analysis.importance_true)


def test_rows_of_a_large_cohort_stay_in_the_file(cohort, analysis, tmp_path, monkeypatch) -> None:
    import napari_ifa.analysis.opening as opening

    monkeypatch.setattr(opening, "_HELD_BYTES", 100)
    large = analyze(tiny_classifier(), cohort)

    assert large.file is not None
    home = large.file.parent
    np.testing.assert_array_equal(large.profiles, analysis.profiles)
    large.save(tmp_path / "analysis.nc")
    again = load_analysis(tmp_path / "analysis.nc")
    assert again.file == tmp_path / "analysis.nc"
    np.testing.assert_array_equal(again.logits, analysis.logits)
    assert again.scale(0, low=0, high=100).p_high == 1.0
    large.dataset.close()
    del large
    assert not home.exists(), "the temporary file goes with the analysis"


def test_a_regression_has_values_in_place_of_classes(tmp_path: Path) -> None:
    values = [(BRIGHT, 61.5), (BRIGHTER, 70), (MIXED, None)]
    cohort = read_cohort(write_cohort(tmp_path, values))

    found = analyze(replace(tiny_classifier(), output_activation="none"), cohort)

    np.testing.assert_array_equal(found.targets, [61.5, 70.0, np.nan])
    assert found.is_regression
    assert found.labels.tolist() == [-1, -1, -1]
    assert np.isnan(found.importance_true.values).all()
    np.testing.assert_allclose(found.importance_all.values, [[1.0, 0.5], [0.0, -2.0]])


def test_a_label_without_a_meaning_for_the_model_is_refused(tmp_path: Path) -> None:
    text = read_cohort(write_cohort(tmp_path, [(BRIGHT, "old")]))
    with refused(CohortError, CohortProblem.NO_VALUE, case="case_0.nii"):
        analyze(replace(tiny_classifier(), output_activation="none"), text)
    value = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0.5)]))
    with refused(CohortError, CohortProblem.VALUE_FOR_CLASSES, case="case_0.nii", label=0.5):
        analyze(tiny_classifier(), value)


def test_whole_values_are_class_numbers_also_of_a_single_output(tmp_path: Path) -> None:
    """An npz file's labels come as 0.0 and 1.0."""
    single = replace(tiny_classifier(), class_names=("lesion",), output_activation="sigmoid")
    cases = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0.0), (BRIGHT, 1.0), (BRIGHT, 1)])).cases

    assert Truth.of(single, cases).labels.tolist() == [0, 1, 1]
    assert Truth.of(tiny_classifier(), cases).labels.tolist() == [0, 1, 1]


def test_numbers_that_are_names_of_other_classes_are_refused(tmp_path: Path) -> None:
    named = replace(tiny_classifier(), class_names=("1", "2", "3"))
    cases = read_cohort(write_cohort(tmp_path, [(BRIGHT, 1), (BRIGHT, 2)])).cases

    with refused(CohortError, CohortProblem.NAME_OR_NUMBER, label=1, name="2"):
        Truth.of(named, cases)
    from_zero = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHT, 2)])).cases
    assert Truth.of(named, from_zero).labels.tolist() == [0, 2]


def test_profiles_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [([1e6] * 8, 0)]))

    with pytest.raises(AnalysisError) as caught:
        analyze(tiny_classifier(), cohort, profiles="float16")
    assert caught.value.kind is AnalysisProblem.TOO_LARGE_FOR_FLOAT16


def test_a_misspelt_choice_is_no_default(analysis: Analysis) -> None:
    for call in (
        lambda: analysis.scale(0, basis="voxel"),
        lambda: analysis.scale(0, scope="classes"),
        lambda: analysis.percentile_of(0.0, 0, "peak"),
        lambda: analysis.importance(0, "mean"),
    ):
        with pytest.raises(AnalysisError, match="choose one of"):
            call()
    # only the second case is answered rightly
    np.testing.assert_allclose(analysis.importance(1, "true_correct"), [1.0, -4.0])


def test_ids_that_a_file_cannot_hold_are_kept_readable(tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (MIXED, 1)]))
    odd = [replace(cohort.cases[0], id="a\0b"), replace(cohort.cases[1], id="c\udce9d")]

    assert analyze(tiny_classifier(), replace(cohort, cases=tuple(odd))).case_ids == ("a�b", "c?d")


def test_one_output_says_present_or_absent(tmp_path: Path) -> None:
    classifier = tiny_classifier()
    classifier.network.linear = torch.nn.Linear(2, 1)
    classifier.network.linear.weight.data = torch.tensor([[1.0, 0.0]])
    classifier.network.linear.bias.data = torch.tensor([-1.5])
    single = replace(classifier, class_names=("lesion",), output_activation="sigmoid")
    cohort = read_cohort(write_cohort(tmp_path, [(BRIGHT, 0), (BRIGHTER, 1), (MIXED, 1)]))

    found = analyze(single, cohort)

    # logits −0.5, 0.5, −1.5: absent, present, absent
    assert found.predicted.tolist() == [0, 1, 0]
    assert found.labels.tolist() == [0, 1, 1]
    # k of the lesion: 1, 2, 0; truly present in the last two
    np.testing.assert_allclose(found.importance_all.values[:, 0], [1.0, 0.0])
    np.testing.assert_allclose(found.importance_true.values[:, 0], [1.0, 0.0])
    assert found.dataset["cases_true"].values.tolist() == [2]
    assert found.dataset["cases_correct"].values.tolist() == [1]
    np.testing.assert_allclose(found.profiles[:, 0], [1.0, 2.0, 0.0])


def test_a_file_of_version_1_is_read(analysis: Analysis) -> None:
    """Written by the release that knew neither skipped cases nor regressions."""
    old = load_analysis(Path(__file__).parent / "data" / "format_1.nc", tiny_classifier())

    assert old.dataset.attrs["format_version"] == 4
    assert int(old.dataset["cases_all"]) == 3
    assert old.skipped == ()
    assert old.duplicates == ()
    assert old.groups is None
    np.testing.assert_allclose(old.importance_all, analysis.importance_all)
    np.testing.assert_allclose(old.profiles, analysis.profiles)
    assert old.scale(0, low=0, high=100) == analysis.scale(0, low=0, high=100)


def test_a_cohort_far_from_zero_has_a_scale(tmp_path: Path) -> None:
    # The class activation of "none" is the image itself, divided by its eight voxels.
    values = 8 * (1000 + 0.1 * np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    cases = [(row.tolist(), n % 2) for n, row in enumerate(values)]
    cohort = read_cohort(write_cohort(tmp_path, cases))

    found = analyze(tiny_classifier(), cohort, shard_size=20)

    scale = found.scale(0)
    low, high = np.percentile(values.astype(np.float32) / 8, [10, 90])
    assert scale.p_high - scale.p_low == pytest.approx(high - low, rel=1e-3)
    assert scale.note == ""
    older = Analysis(found.dataset.drop_vars([n for n in found.dataset if "fine" in str(n)]))
    with pytest.raises(AnalysisError) as caught:
        older.scale(0)
    assert caught.value.kind is AnalysisProblem.TOO_COARSE


def test_a_truncated_file_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "analysis.nc"
    analysis.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with refused(AnalysisError, AnalysisProblem.DAMAGED, file="analysis.nc"):
        load_analysis(path)


def test_no_space_for_the_file_leaves_the_old_one(analysis, tmp_path, monkeypatch) -> None:
    path = tmp_path / "analysis.nc"
    analysis.save(path)
    older = path.read_bytes()

    def full(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)

    with pytest.raises(AnalysisError, match="No space left on device"):
        analysis.save(path, overwrite=True)
    assert path.read_bytes() == older
    assert [file.name for file in tmp_path.iterdir() if file.is_file()].count("analysis.nc") == 1
    assert not list(tmp_path.glob(".*"))


def test_one_output_of_unknown_meaning_is_not_held_against_labels(tmp_path: Path) -> None:
    single = replace(tiny_classifier(), class_names=("size",), output_activation="unknown")
    labelled = read_cohort(write_cohort(tmp_path, [(BRIGHT, 1), (MIXED, 0)])).cases
    with refused(CohortError, CohortProblem.CLASS_OR_VALUE):
        Truth.of(single, labelled)
    silent = [replace(case, label=None) for case in labelled]
    assert Truth.of(single, silent).labels.tolist() == [-1, -1]
    assert Truth.of(replace(single, output_activation="none"), labelled).targets.tolist() == [1, 0]
