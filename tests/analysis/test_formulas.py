"""What was analysed with a formula that was corrected since is not mixed with what is now."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa.analysis import Analysis, analyze, load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cam import METHODS
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisMismatchError, Cancelled
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

CORRECTED = ("gradcam++", "smoothgradcam++")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    cases = [([0.0, 1, 2, 3, 4, 5, 6, 7 + n], n % 2) for n in range(4)]
    return read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), cases))


def without_formula(analysis: Analysis, path: Path) -> Path:
    """As a release wrote it that knew no formula's number."""
    attributes = {k: v for k, v in analysis.dataset.attrs.items() if k != "method_formula"}
    older = analysis.dataset.drop_attrs(deep=False).assign_attrs(attributes | {"format_version": 2})
    fine = [name for name in older if str(name).startswith("fine_")]
    Analysis(older.drop_vars(fine)).save(path)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_only_an_analysis_by_an_older_formula_is_refused(cohort, method, tmp_path):
    analysis = (
        analyze(tiny_classifier(bent=True), cohort, method)
        if method != "cam"
        else analyze(tiny_classifier(), cohort, method)
    )
    analysis.save(tmp_path / "now.nc")
    assert load_analysis(tmp_path / "now.nc").method == method

    older = without_formula(analysis, tmp_path / "older.nc")

    if method in CORRECTED:
        with refused(AnalysisMismatchError, AnalysisProblem.OTHER_FORMULA, file="older.nc"):
            load_analysis(older)
    else:
        assert load_analysis(older).method == method
        assert analysis.dataset.attrs["method_formula"] == 1


def test_an_analysis_by_a_formula_to_come_is_refused(cohort, tmp_path):
    analysis = analyze(tiny_classifier(), cohort)
    Analysis(analysis.dataset.assign_attrs(method_formula=2)).save(tmp_path / "newer.nc")

    with refused(AnalysisMismatchError, AnalysisProblem.OTHER_FORMULA, file="newer.nc"):
        load_analysis(tmp_path / "newer.nc")


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_parts_by_an_older_formula_are_not_resumed(cohort, method, tmp_path):
    def stopped_after_one_shard(*_):
        return (tmp_path / "shard_000000.npz").exists()

    options = {"method": method, "shard_size": 2, "resume_dir": tmp_path}
    classifier = tiny_classifier(bent=True)
    with pytest.raises(Cancelled):
        analyze(classifier, cohort, stop=stopped_after_one_shard, **options)
    plan = tmp_path / "plan.json"
    lines = plan.read_text().splitlines(keepends=True)
    plan.write_text("".join(line for line in lines if '"formula' not in line))

    if method == "gradcam":
        analyze(classifier, cohort, **options)
    else:
        with refused(
            AnalysisMismatchError,
            AnalysisProblem.OTHER_PLAN,
            different=["formula of the method"],
        ):
            analyze(classifier, cohort, **options)
