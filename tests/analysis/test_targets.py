"""An analysis for several targets: counted in one pass, kept in one file, read one at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from napari_ifa.analysis import Analysis, analyze, explain, load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import READING
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, BundleError
from napari_ifa.evaluation import evaluate
from napari_ifa.evaluation.findings import findings
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.summary import summary_sections
from napari_ifa.models import Classifier
from napari_ifa.models.problems import BundleProblem
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

NAMES = ("none", "lesion", "artefact")
CASES = 12


def three_classes(bent: bool = False) -> Classifier:
    """The tiny classifier with a third class."""
    classifier = tiny_classifier(bent)
    linear = nn.Linear(2, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.3], [0.5, 2.0], [-1.0, 0.7]]))
        linear.bias.copy_(torch.tensor([10.0, 20.0, 15.0]))
    classifier.network.linear = linear
    return replace(classifier, class_names=NAMES)


def twin(classifier: Classifier) -> Classifier:
    """The same probabilities, from other logits."""
    network = copy.deepcopy(classifier.network)
    with torch.no_grad():
        network.linear.weight += torch.tensor([[-3.0, 1.7]])
        network.linear.bias -= 4.0
    return replace(classifier, network=network, weights_sha256="twin")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    dice = np.random.default_rng(2)
    cases = [((dice.normal(size=8) * (1 + n % 4)).tolist(), n % 3) for n in range(CASES)]
    return read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), cases), "training")


@pytest.fixture(scope="module")
def analysis(cohort: Cohort) -> Analysis:
    return analyze(three_classes(), cohort, shard_size=5, batch_size=2)


@pytest.mark.parametrize("method", ["gradcam", "pixelwise", "gradcam++", "scorecam"])
@pytest.mark.parametrize("bent", [False, True])
def test_a_twin_has_the_same_analysis_against_others(
    method: str, bent: bool, cohort: Cohort
) -> None:
    one = analyze(three_classes(bent), cohort, method)
    two = analyze(twin(three_classes(bent)), cohort, method)
    for target in ("others", "runner-up"):
        ours, twins = one.of_target(target), two.of_target(target)
        for kind in ("all", "true"):
            for name in (f"importance_{kind}", f"variance_{kind}", f"frequency_{kind}"):
                same = twins.dataset[name].values
                np.testing.assert_allclose(ours.dataset[name], same, rtol=1e-4, atol=1e-5)
        for name in ("activation_sum", "activation_maximum", "contribution"):
            np.testing.assert_allclose(ours.dataset[name], twins.dataset[name], atol=1e-5)
        for c in range(3):
            if not ours.dataset["activation_maximum"].values[:, c].any():
                continue  # no gradient of this class is positive: gradcam++ shows nothing
            a, b = ours.scaled(c, READING), twins.scaled(c, READING)
            assert a.p_high == pytest.approx(b.p_high, rel=1e-3)
            assert a.basis == b.basis
    away = np.abs(one.importance_all.values - two.importance_all.values).max()
    assert away > 0.1 * np.abs(one.importance_all.values).max()


def test_importance_against_others_is_the_difference_of_the_columns(analysis: Analysis) -> None:
    columns = analysis.importance_all.values
    others = analysis.of_target("others")
    for c in range(3):
        rest = [d for d in range(3) if d != c]
        expected = columns[:, c] - columns[:, rest].mean(axis=1)
        np.testing.assert_allclose(others.importance(c), expected, rtol=1e-5, atol=1e-7)
    # Against the strongest other class of each case, by hand from the cases' own weights.
    logits = analysis.logits
    order = np.argsort(-logits, axis=1)
    weights = three_classes().network.linear.weight.detach().numpy().astype(float)
    image = analysis.dataset["contribution"].values / weights[analysis.labels]
    runner = analysis.of_target("runner-up")
    for c in range(3):
        rival = np.where(order[:, 0] == c, order[:, 1], order[:, 0])
        expected = (image * (weights[c] - weights[rival])).mean(axis=0)
        np.testing.assert_allclose(runner.importance(c), expected, rtol=1e-4, atol=1e-6)


def test_the_file_holds_every_target_and_is_read_one_at_a_time(
    analysis: Analysis, tmp_path: Path
) -> None:
    others = analysis.of_target("others")
    assert (analysis.target, others.target) == ("logit", "others")
    others.save(tmp_path / "a.nc")
    again = load_analysis(tmp_path / "a.nc")
    assert again.target == "logit"
    assert again.held_targets == ("logit", "others", "runner-up")
    for target in again.held_targets:
        one, two = again.of_target(target), analysis.of_target(target)
        assert set(one.dataset) == set(two.dataset)
        for name, variable in one.dataset.variables.items():
            assert variable.values.tolist() == two.dataset[name].values.tolist() or (
                variable.dtype.kind == "f"
            ), name
            if variable.dtype.kind == "f":
                assert variable.values.tobytes() == two.dataset[name].values.tobytes(), name
    assert others.of_target("logit").dataset.equals(analysis.dataset)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as content:
        found = content["importance_all"].sel(compared_with="others")
        np.testing.assert_array_equal(found, others.importance_all)


def test_what_is_held_of_the_logit_is_what_an_analysis_of_it_alone_holds(
    analysis: Analysis, cohort: Cohort
) -> None:
    alone = analyze(three_classes(), cohort, shard_size=5, batch_size=2, targets=["logit"])
    assert alone.held_targets == ("logit",)
    assert alone.dataset.equals(analysis.dataset)


def test_a_pair_of_classes_is_counted_when_asked_for(analysis: Analysis, cohort: Cohort) -> None:
    with refused(AnalysisError, AnalysisProblem.NO_TARGET, asked="artefact") as error:
        analysis.of_target("artefact")
    assert "'artefact' among its targets" in str(error.value)
    pair = analyze(three_classes(), cohort, targets=["artefact"]).of_target("artefact")
    assert pair.target == "class 2"
    columns = analysis.importance_all.values
    np.testing.assert_allclose(pair.importance(1), columns[:, 1] - columns[:, 2], rtol=1e-5)
    # The class itself has no numbers, and is not among those that one scale is made of.
    assert np.isnan(pair.importance_all[:, 2]).all()
    assert np.isfinite(pair.importance_all[:, :2]).all()
    assert np.isnan(pair.dataset["activation_quantiles"][:, 2]).all()
    for ask in (pair.importance, pair.principal_features, pair.scaled):
        with refused(AnalysisError, AnalysisProblem.SAME_CLASS, name="artefact"):
            ask(2, *([READING] if ask == pair.scaled else []))
    strongest = np.abs(
        [pair.dataset[f"activation_{end}"].values[:, :2] for end in ("minimum", "maximum")]
    ).max(axis=0)
    scale = pair.scale(0, form="centred", basis="extremes", scope="all")
    assert scale.p_high == pytest.approx(np.percentile(strongest, 90))
    top = max(float(pair.dataset["voxel_maximum"].values[c]) for c in (0, 1))
    assert pair.percentile_of(top + 1, 0, scope="all") == 100
    assert pair.of_target("logit").importance(2).any()


@pytest.mark.parametrize("asked", ["artefacts", "7", 7, -1, True, "class 9"])
def test_a_target_that_there_is_none_of_is_told_with_those_there_are(
    asked: object, analysis: Analysis, cohort: Cohort
) -> None:
    with refused(AnalysisError, AnalysisProblem.NO_SUCH_TARGET) as caught:
        analysis.of_target(asked)  # type: ignore[arg-type]
    assert "logit, others, runner-up" in str(caught.value)
    if isinstance(asked, str):
        with refused(BundleError, BundleProblem.NO_SUCH_TARGET) as refusal:
            analyze(three_classes(), cohort, targets=asked)
        assert "'artefact'" in str(refusal.value)


def test_a_class_is_named_by_its_number_or_name(cohort: Cohort) -> None:
    found = analyze(three_classes(), cohort, targets="artefact")
    assert found.held_targets == ("logit", "class 2")
    for asked in (2, "2", "class 2", "artefact"):
        assert found.of_target(asked).target == "class 2"


def test_of_two_classes_the_runner_up_is_the_other_one(tmp_path: Path) -> None:
    classifier = tiny_classifier()
    cases = [([float(n), 1.0, -2.0, 0.5, 3.0, 0.0, 1.0, 2.0], n % 2) for n in range(4)]
    found = analyze(classifier, read_cohort(write_cohort(tmp_path, cases)))
    assert found.held_targets == ("logit", "others")
    assert found.of_target("runner-up").target == "others"
    assert classifier.target("runner-up") == "others"
    with refused(AnalysisError, AnalysisProblem.NO_TARGET, asked="lesion"):
        found.of_target("lesion")


def test_outputs_that_stand_alone_are_compared_with_nothing(cohort: Cohort) -> None:
    alone = replace(three_classes(), output_activation="sigmoid")
    assert analyze(alone, cohort).held_targets == ("logit",)
    with refused(BundleError, BundleProblem.OUTPUTS_STAND_ALONE, asked="others"):
        analyze(alone, cohort, targets=["others"])


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_a_case_is_explained_against_what_its_analysis_is_of(method: str, cohort: Cohort) -> None:
    classifier = three_classes()
    analysis = analyze(classifier, cohort, method)
    path = cohort.cases[0].path
    plain = explain(classifier, path, analysis, "lesion")
    found = explain(classifier, path, analysis, "lesion", target="others", form="centred")
    by_view = explain(classifier, path, analysis.of_target("others"), "lesion", form="centred")
    assert (plain.target, found.target, by_view.target) == ("logit", "others", "others")
    assert found.compared_with == "all others"
    np.testing.assert_array_equal(found.s_cam.array, by_view.s_cam.array)
    assert found.scale.neutral == 0.0
    changed = plain.select(target="others", choice=found.choice)
    np.testing.assert_array_equal(changed.s_cam.array, found.s_cam.array)
    rival = found.select(target="runner-up")
    order = [c for c in np.argsort(-found.logits) if c != 1]
    assert rival.compared_with == f"the runner-up, {NAMES[order[0]]}"
    np.testing.assert_allclose(found.masked_logits, found.logits)
    if method == "gradcam":
        # A single class costs nothing more; its scale takes an analysis that has counted it.
        other = explain(classifier, path, None, "lesion", target="none")
        assert other.compared_with == "none"
        with refused(AnalysisError, AnalysisProblem.SAME_CLASS, name="lesion"):
            other.select(target="lesion")
    else:
        with refused(AnalysisError, AnalysisProblem.TARGET_NOT_RUN, target="class 0"):
            explain(classifier, path, None, "lesion", method=method).select(target="none")


def test_an_evaluation_measures_the_maps_of_its_target(analysis: Analysis, cohort: Cohort) -> None:
    found = evaluate(three_classes(), analysis, cohort, 0.5, target="others")
    plain = evaluate(three_classes(), analysis, cohort, 0.5)
    # An affine head: the sum of a map is what it explains, less biases, whatever the target.
    for one in (found, plain):
        assert one.consistency.sums.shape == (CASES, 3, 4)
        usual = [
            np.corrcoef(one.consistency.sums[:, c, 1], one.consistency.logits[:, c])[0, 1]
            for c in range(3)
        ]
        np.testing.assert_allclose(usual, 1.0, atol=1e-6)
    assert not np.allclose(found.consistency.sums, plain.consistency.sums)


@pytest.mark.parametrize("compare", [findings, summary_sections])
def test_numbers_of_two_targets_never_stand_beside_each_other(
    compare: Callable[[Analysis, Analysis], object], analysis: Analysis
) -> None:
    with refused(AnalysisMismatchError, EvaluationProblem.NOT_COMPARABLE) as caught:
        compare(analysis.of_target("others"), analysis)
    assert "target" in caught.value.facts["different"]
