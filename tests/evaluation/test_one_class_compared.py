"""Where all classes are compared with one of them, that one and its cases are left out.

The oracle is another network: with the row of that class taken off every row of the last layer the
logits of the others *are* their differences to it, and the plain logit explains the same.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation import Evaluation, evaluate
from napari_ifa.evaluation.findings import Findings, compared_with_class, findings
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.summary import summary_sections
from napari_ifa.models import Classifier
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort, write_image

NAMES = ("none", "lesion", "artefact")
CASES, FEATURES, COMPARED = 30, 6, 2
OTHERS = [0, 1]
#: So that every class is answered in some of the cases.
BIAS = (-1.96, -2.37, -2.03)


class Network(nn.Module):
    """Six features, global average pooling, and a linear layer of three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.features = nn.Sequential(nn.Conv3d(1, FEATURES, 1), nn.ReLU())
        self.linear = nn.Linear(FEATURES, len(NAMES))
        with torch.no_grad():
            self.linear.weight.normal_()
            self.linear.bias.copy_(torch.tensor(BIAS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(x).mean((2, 3, 4)))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    network = Network().eval()
    return replace(tiny_classifier(), network=network, class_names=NAMES, weights_sha256="one")


@pytest.fixture(scope="module")
def twin(classifier: Classifier) -> Classifier:
    network = copy.deepcopy(classifier.network)
    with torch.no_grad():
        network.linear.weight -= network.linear.weight[COMPARED].clone()
        network.linear.bias -= network.linear.bias[COMPARED].clone()
    return replace(classifier, network=network, weights_sha256="twin")


def _cohort(folder: Path, seed: int) -> Cohort:
    dice = np.random.default_rng(seed)
    values = dice.normal(size=(CASES, 8)) * 3 + dice.normal(size=(CASES, 1)) * 2
    written = [(row.tolist(), n % 3) for n, row in enumerate(values)]
    cohort = read_cohort(write_cohort(folder, written), "training")
    mask = write_image(folder / "mask.nii", [1.0, 1.0, 0, 0, 0, 0, 0, 0])
    return replace(cohort, cases=tuple(replace(case, mask=mask) for case in cohort.cases))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return _cohort(tmp_path_factory.mktemp("cohort"), 2)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return _cohort(tmp_path_factory.mktemp("unseen"), 3)


@pytest.fixture(scope="module")
def analysis(classifier: Classifier, cohort: Cohort) -> Analysis:
    return analyze(classifier, cohort, targets=["artefact"]).of_target("artefact")


@pytest.fixture(scope="module")
def of_twin(twin: Classifier, cohort: Cohort) -> Analysis:
    return analyze(twin, cohort)


@pytest.fixture(scope="module")
def evaluated(
    classifier: Classifier, analysis: Analysis, twin: Classifier, of_twin: Analysis, cohort: Cohort
) -> tuple[Evaluation, Evaluation]:
    return evaluate(classifier, analysis, cohort, 0.2), evaluate(twin, of_twin, cohort, 0.2)


def test_a_map_against_one_class_is_measured_as_the_oracle_s(
    evaluated: tuple[Evaluation, Evaluation], analysis: Analysis
) -> None:
    found, oracle = evaluated
    own = analysis.predicted == COMPARED
    assert 0 < own.sum() < CASES
    for c in OTHERS:
        for kind in range(3):
            one, other = (e.consistency.correlations[c, kind] for e in evaluated)
            assert one.n == CASES
            np.testing.assert_allclose(one.coefficient, other.coefficient, atol=1e-5)
    assert {c for c, _ in found.consistency.correlations} == {None, *OTHERS}
    # The pooled row holds the cases whose predicted class has a map, with its own sums alone.
    pooled = found.consistency.correlations[None, 1]
    assert pooled.n == CASES - own.sum()
    sums, logits = oracle.consistency.sums[..., 1], oracle.consistency.logits
    rows, columns = np.flatnonzero(~own), analysis.predicted[~own]
    expected = np.corrcoef(sums[rows, columns], logits[rows, columns])[0, 1]
    assert pooled.pearson == pytest.approx(expected, abs=1e-5)


def test_drop_and_localisation_leave_its_cases_out(
    evaluated: tuple[Evaluation, Evaluation], analysis: Analysis
) -> None:
    drops = [{one.name: one for one in e.average_drop.by_class} for e in evaluated]
    assert set(drops[0]) <= {*(NAMES[c] for c in OTHERS), "all"}
    for c in set(analysis.predicted.tolist()) - {COMPARED}:
        one, other = (of_class[NAMES[c]] for of_class in drops)
        assert (one.n, one.increase) == (other.n, other.increase)
        assert one.drop == pytest.approx(other.drop, abs=1e-5)
    assert drops[0]["all"].n == (analysis.predicted != COMPARED).sum()
    inside = [{one.name: one for one in e.localisation.by_class} for e in evaluated]
    assert set(inside[0]) == {"none", "lesion", "all"}
    for name in ("none", "lesion"):
        one, other = (of_class[name] for of_class in inside)
        assert (one.n, one.hit_share) == (other.n, other.hit_share)
        assert one.positive_share == pytest.approx(other.positive_share, abs=1e-5)
        assert one.s_cam_share == pytest.approx(other.s_cam_share, abs=1e-5)
    assert inside[0]["all"].n == (analysis.labels != COMPARED).sum()


def test_accuracy_counts_all_cases_and_no_feature_speaks_for_it(
    evaluated: tuple[Evaluation, Evaluation], analysis: Analysis
) -> None:
    found, _ = evaluated
    assert found.masked_accuracy.sets[0].n == CASES
    right = (analysis.predicted == analysis.labels).mean()
    assert found.masked_accuracy.sets[0].accuracy == pytest.approx(right)
    columns = analysis.importance_true.values[:, OTHERS]
    first = set(columns.argsort(axis=0)[::-1][:2].ravel().tolist())
    assert set(np.flatnonzero(found.masked_accuracy.principal.keep)) == first


def test_the_findings_are_the_oracle_s(
    classifier: Classifier, twin: Classifier, analysis: Analysis, of_twin: Analysis, unseen: Cohort
) -> None:
    other = analyze(classifier, unseen, targets=["artefact"]).of_target("artefact")
    found = findings(analysis, other)
    oracle = findings(of_twin, analyze(twin, unseen))
    np.testing.assert_allclose(
        found.principal.importance[:, OTHERS], oracle.principal.importance[:, OTHERS], atol=1e-5
    )
    assert found.principal.masks["value"][COMPARED] is None
    for c in OTHERS:
        ranked = found.principal.ranked(c), oracle.principal.ranked(c)
        assert ranked[0] == ranked[1]
    share = found.confounders.share[:, OTHERS]
    np.testing.assert_allclose(share, oracle.confounders.share[:, OTHERS], rtol=1e-4)
    assert {c for _, c in found.confounders.ranked} == set(OTHERS)
    ranked = analysis.labels != COMPARED
    np.testing.assert_allclose(
        found.outliers.correlation[ranked], oracle.outliers.correlation[ranked], atol=1e-5
    )
    assert set(found.outliers.ranked) == set(np.flatnonzero(ranked))
    compared, expected = found.overfitting, oracle.overfitting
    assert compared.tested.tolist() == [True, True, False]
    for name in ("t", "train", "test"):
        values = getattr(compared, name)[:, OTHERS]
        np.testing.assert_allclose(values, getattr(expected, name)[:, OTHERS], atol=1e-4)
    np.testing.assert_allclose(compared.distance[OTHERS], expected.distance[OTHERS], rtol=1e-4)
    np.testing.assert_array_equal(found.redundancy.rare, oracle.redundancy.rare)
    _check_sections(found, analysis)


def _check_sections(found: Findings, analysis: Analysis) -> None:
    sections = {one.key: one for one in (*found.sections, *summary_sections(analysis))}
    for key in ("principal_features", "outliers", "overfitting", "scale", "importance"):
        assert "compared with 'artefact'" in sections[key].meaning
        if key != "outliers":
            assert {row["class"] for row in sections[key].rows} == {"none", "lesion"}
    for section in sections.values():
        _check_words(section)
        if section.draw is not None:
            section.draw()


def _check_words(section: Section) -> None:
    text = f"{section.meaning} {section.limits}"
    for wrong in ("No case counts", "No case is of", "Too few", " nan"):
        assert wrong not in text


def test_what_is_left_out_is_said_in_words(evaluated: tuple[Evaluation, Evaluation]) -> None:
    found, _ = evaluated
    note = next(note for note in found.notes if "compared with 'artefact'" in note)
    assert "accuracy counts all cases" in note
    assert not any("varies too little" in note or "has no case of" in note for note in found.notes)
    consistency = next(one for one in found.sections if one.key == "consistency")
    assert "logit less that of 'artefact'" in consistency.meaning
    assert "answered so count for the other classes alone" in consistency.meaning
    for section in found.sections:
        _check_words(section)
        if section.draw is not None:
            section.draw()


def test_where_every_case_is_answered_with_it_only_the_classes_are_measured(
    classifier: Classifier, analysis: Analysis, cohort: Cohort
) -> None:
    own = [n for n, c in enumerate(analysis.predicted) if c == COMPARED]
    alone = replace(cohort, cases=tuple(replace(cohort.cases[n], label=COMPARED) for n in own))
    found = evaluate(classifier, analysis, alone, 0.2)
    assert found.average_drop is None
    assert found.localisation is None
    assert found.consistency.correlations[None, 1].reason == "fewer than 3 cases"
    assert found.masked_accuracy.sets[0].accuracy == 1
    for section in found.sections:
        if section.draw is not None:
            section.draw()


def test_a_new_case_is_not_compared_with_cases_that_have_no_contributions(
    analysis: Analysis,
) -> None:
    with refused(AnalysisError, AnalysisProblem.SAME_CLASS, name="artefact"):
        compared_with_class(analysis, np.zeros(FEATURES), COMPARED)
