"""A report says which cohorts its evaluation and findings are of."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.scale import ScaleChoice
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.summary.provenance import evaluated_on, provenance_of
from napari_ifa.export.html_report import write_report
from napari_ifa.export.tables import TracedSections, read_folder, write_sections
from tests.tiny import tiny_classifier, write_cohort

CASES = [([8.0, 0, 0, 0, 0, 0, 0, 0], 0), ([8.0, 8, 0, 0, 0, 0, 0, 0], 1)]


def section(key: str = "one") -> Section:
    return Section(key, "First", "It is 1.", "It is not 2.", ({"value": 1},))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    cohort = read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), CASES))
    return analyze(tiny_classifier(), replace(cohort, name="heads"))


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., str]:
    def write(*arguments, **options) -> str:
        path = write_report(tmp_path / "report.html", *arguments, **options)
        return html.unescape(path.read_text("utf-8"))

    return write


def test_it_tells_which_cohorts_evaluation_and_findings_are_of(
    tmp_path: Path, report, analysis: Analysis
) -> None:
    cohort = replace(read_cohort(write_cohort(tmp_path, CASES)), name="<feet>", split="test")
    test = Analysis(analysis.dataset.assign_attrs(cohort_name="hands", cohort_sha256="x"))
    on = provenance_of("evaluate", analysis, top=0.1) | evaluated_on(cohort, ScaleChoice())
    write_sections([section("e")], tmp_path / "e", on)
    found = TracedSections((section("f"),), provenance_of("findings", test, analysis))

    text = report(analysis, evaluation=read_folder(tmp_path / "e"), findings=found)

    evaluation, findings = text.index("<h2>Evaluation</h2>"), text.index("<h2>Findings</h2>")
    of = "Evaluated on <feet>, split test, basis voxels, top 10 %; scale and features"
    assert evaluation < text.index(of) < findings
    of = "Of hands, all splits against heads, all splits. Their analysis is of other cases"
    assert text.index(of) > findings
    assert text.count("Their analysis is of other cases") == 1


def test_sections_that_do_not_say_where_they_come_from_are_said_so(
    tmp_path: Path, report, analysis: Analysis
) -> None:
    write_sections([section("e")], tmp_path / "e")

    text = report(analysis, evaluation=read_folder(tmp_path / "e"))

    assert "The folder does not tell of which model and cohort this is." in text


@pytest.mark.parametrize("part", ["evaluation", "findings"])
def test_results_of_another_model_are_refused(
    part: str, tmp_path: Path, analysis: Analysis
) -> None:
    other = Analysis(analysis.dataset.assign_attrs(model_weights="others"))
    command = {"evaluation": "evaluate", "findings": "findings"}[part]
    traced = TracedSections((section(),), provenance_of(command, other))

    with pytest.raises(AnalysisMismatchError, match=r"another model or method .*: weights differ"):
        write_report(tmp_path / "r.html", analysis, **{part: traced})
    assert not (tmp_path / "r.html").exists()
