from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.scale import ScaleChoice
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.summary.provenance import (
    check_provenance,
    evaluated_on,
    made_by,
    made_from,
    provenance_of,
)
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

CASES = [([8.0] + [0.0] * 7, 0), ([8.0, 8.0] + [0.0] * 6, 1)]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return read_cohort(write_cohort(tmp_path, CASES))


@pytest.fixture
def analysis(cohort: Cohort) -> Analysis:
    return analyze(tiny_classifier(), cohort)


def changed(analysis: Analysis, **attributes: str) -> Analysis:
    return Analysis(analysis.dataset.assign_attrs(attributes))


def test_it_names_model_method_and_cohorts(analysis: Analysis, cohort: Cohort) -> None:
    test = changed(analysis, cohort_split="test", cohort_sha256="of test")

    found = provenance_of("findings", changed(analysis, cohort_split="training"), test, 0.1)

    assert found == {
        "command": "findings",
        "model_name": "",
        "model_weights": "straight",
        "model_network": analysis.dataset.attrs["model_network"],
        "model_layer": "features",
        "model_preprocessing": analysis.dataset.attrs["model_preprocessing"],
        "model_class_names": "none, lesion",
        "model_settings": "",
        "model_code": "",
        "method": "gradcam",
        "target": "logit",
        "cohort_name": "tiny",
        "cohort_split": "training",
        "cohort_sha256": cohort.manifest_sha256(),
        "other_cohort_name": "tiny",
        "other_cohort_split": "test",
        "other_cohort_sha256": "of test",
        "top": "10 %",
    }
    assert made_from(found) == "Of tiny, split training against tiny, split test, top 10 %."
    assert made_by(found) == (
        "Model without a name (SHA-256 of its weights straight), layer features, method gradcam."
    )


def test_an_evaluation_names_the_cohort_that_it_was_made_on(
    analysis: Analysis, cohort: Cohort
) -> None:
    found = provenance_of("evaluate", analysis, top=0.05) | evaluated_on(
        cohort, ScaleChoice(basis="extremes")
    )

    assert found["evaluated_cohort_sha256"] == cohort.manifest_sha256()
    assert made_from(found).startswith("Evaluated on tiny, all splits, basis extremes, top 5 %; ")


def test_other_cases_than_the_report_s_are_told_not_refused(analysis: Analysis) -> None:
    found = provenance_of("findings", analysis)
    other = changed(analysis, cohort_sha256="another")

    check_provenance(found, "findings", other, "folder")
    assert "other cases than the report's" in made_from(found, other)
    assert "other cases" not in made_from(found, analysis)


@pytest.mark.parametrize(
    ("attribute", "what"),
    [
        ("model_weights", "weights"),
        ("model_layer", "layer"),
        ("model_preprocessing", "preprocessing"),
        ("model_class_names", "class names"),
        ("method", "method"),
    ],
)
def test_another_model_or_method_is_refused(attribute: str, what: str, analysis: Analysis) -> None:
    found = provenance_of("evaluate", changed(analysis, **{attribute: "another"}))

    check_provenance(provenance_of("evaluate", analysis), "evaluate", analysis, "folder")
    with refused(AnalysisMismatchError, EvaluationProblem.OTHER_MODEL, different=what):
        check_provenance(found, "evaluate", analysis, "folder")


def test_the_folder_of_another_command_is_refused(analysis: Analysis) -> None:
    found = provenance_of("findings", analysis)

    with refused(
        AnalysisMismatchError, EvaluationProblem.OTHER_COMMAND, found="findings", command="evaluate"
    ):
        check_provenance(found, "evaluate", analysis, "folder")


def test_what_is_not_told_is_not_made_up(analysis: Analysis) -> None:
    check_provenance({}, "evaluate", analysis, "folder")

    assert (made_from({}), made_by({})) == ("", "")
