from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.errors import AnalysisError, AnalysisMismatchError
from napari_ifa.evaluation.figures.checks import outlier_figure, principal_figure
from napari_ifa.evaluation.findings import findings
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import sections_of
from tests.known_analysis import known_analysis
from tests.problems import refused

KEYS = [
    "overfitting",
    "overfitting_features",
    "principal_features",
    "confounders",
    "outliers",
    "duplicates",
    "redundancy",
]


def cohort(cases: int, features: int, classes: int, seed: int = 0, missing: int = 0, **more):
    """Some features rarely active, and the last ``missing`` classes without a case."""
    rng = np.random.default_rng(seed)
    k = rng.gamma(1, size=(cases, features, classes)) * rng.normal(size=(features, classes))
    k[:, ::7] *= rng.random((cases, 1, 1)) < 0.02
    names = [f"class with quite a long name {c}" for c in range(classes)]
    return known_analysis(k, np.arange(cases) % (classes - missing), class_names=names, **more)


@pytest.fixture
def both():
    return findings(cohort(40, 30, 3), cohort(30, 30, 3, seed=1))


def test_every_finding_has_a_table_whose_columns_are_explained(both):
    assert [s.key for s in both.sections][:7] == KEYS
    for section in both.sections:
        assert section.title
        assert section.limits.endswith(".")
        assert section.meaning.endswith(".")
        for row in section.rows:
            assert list(row) == list(section.columns)
            assert all(v is None or isinstance(v, str | int | float | bool) for v in row.values())


def test_without_a_second_analysis_there_is_no_overfitting():
    found = findings(cohort(20, 10, 2))

    assert found.overfitting is None
    assert [s.key for s in found.sections][:5] == KEYS[2:]


def test_each_finding_can_be_reached_by_name(both):
    assert both.overfitting.train.shape == (30, 3)
    assert both.principal.importance.shape == (30, 3)
    assert both.confounders.share.shape == (30, 3)
    assert both.outliers.distance.shape == (40,)
    assert both.redundancy.rare.shape == (30,)


@pytest.mark.parametrize(
    ("cases", "features", "classes", "missing"),
    [(40, 30, 3, 0), (60, 512, 40, 12), (20, 12, 4, 1), (12, 3, 2, 0), (6, 2, 1, 0)],
)
def test_every_figure_can_be_drawn(tmp_path, cases, features, classes, missing):
    shape = (cases, features, classes)
    found = findings(cohort(*shape, missing=missing), cohort(*shape, seed=1, missing=missing))

    drawn = [(s.key, s.draw()) for s in found.sections if s.draw is not None]

    assert {key for key, _ in drawn} >= {"overfitting", "principal_features", "confounders"}
    for key, figure in drawn:
        figure.savefig(tmp_path / f"{key}.png")
        assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
        width, height = figure.get_size_inches()
        assert 4 < width < 40
        assert 3 < height < 14


def test_of_many_classes_the_figure_says_how_many_more():
    figure = principal_figure(findings(cohort(60, 30, 40)).principal)

    assert len(figure.axes) == 9
    assert "and 31 more classes" in figure.get_supxlabel()


def test_a_class_that_is_no_number_is_hatched():
    figure = principal_figure(findings(cohort(20, 10, 3, missing=1)).principal)

    assert [axes.patch.get_hatch() for axes in figure.axes] == [None, None, "///"]


def test_a_cohort_without_labels_is_judged_over_all_cases():
    k = np.random.default_rng(2).gamma(1, size=(12, 8, 2))
    analysis = known_analysis(k, [-1] * 12)

    found = findings(analysis, analysis)

    assert found.principal.kind == found.confounders.kind == found.overfitting.kind == "all"
    np.testing.assert_allclose(found.principal.importance, k.mean(axis=0))
    assert "over all cases" in sections_of(found.principal)[0].meaning
    assert "no case can be judged" in sections_of(found.outliers)[0].meaning
    assert all(s.draw() for s in found.sections if s.draw is not None)


def test_why_redundancy_was_not_measured_is_filled_in(both):
    told = both.without_removal("No case has a label.")

    assert "No case has a label." in told.redundancy.reason
    assert "No case has a label." not in both.redundancy.reason


def test_analyses_of_two_models_are_refused():
    with refused(AnalysisMismatchError, EvaluationProblem.NOT_COMPARABLE, different="layer"):
        findings(cohort(20, 10, 2), cohort(20, 10, 2, model_layer="another"))


@pytest.mark.parametrize("level", [0, 1, -0.1])
def test_a_level_that_is_none_is_refused(level):
    with refused(AnalysisError, EvaluationProblem.LEVEL, level=level):
        findings(cohort(20, 10, 2), level=level)


def test_of_many_classes_the_farthest_case_is_in_the_figure():
    analysis = cohort(120, 30, 40)
    values = analysis.dataset["contribution"].values
    values[39] = -values[39]

    found = findings(analysis)
    figure = outlier_figure(found.outliers)

    assert found.outliers.ranked[0] == 39
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(names) == 14
    assert any(name.endswith("name 39") for name in names)
    assert "and 26 more classes" in figure.get_supxlabel()


def test_printed_they_are_their_sentences(both):
    lines = repr(both).splitlines()

    assert len(lines) == 6
    assert lines[0] == str(both.sections[0])
    assert repr(both.redundancy).startswith("Redundancy(")
    assert "array" not in repr(both)


def test_a_second_analysis_is_looked_at_for_duplicates_too():
    one = cohort(12, 8, 2, content=range(12))
    other = cohort(6, 8, 2, seed=1, content=[3, 20, 21, 22, 23, 24])

    assert len(findings(one, other).duplicates.in_both) == 1
