from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa import samples
from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, Cancelled, CohortError
from napari_ifa.evaluation.evaluate import Evaluation, evaluate
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.models import Classifier, load_classifier
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort, write_image

MEANS = (8, 6, 1, 30, 3, 4.5)
LABELS = (0, 1, 1, 0, 1, 0)


def write(folder: Path, means: Sequence[float], labels: Sequence[object]) -> Cohort:
    """Images with one bright voxel, so that no map is constant."""
    folder.mkdir(exist_ok=True)
    cases = [
        ([8.0 * m - 1, 0.5, 0.5, 0, 0, 0, 0, 0], label)
        for m, label in zip(means, labels, strict=True)
    ]
    return read_cohort(write_cohort(folder, cases))


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return write(tmp_path / "cohort", MEANS, LABELS)


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    return analyze(tiny_classifier(), write(tmp_path / "training", MEANS, LABELS))


def tables(evaluation: Evaluation) -> list[list[dict[str, Any]]]:
    return [[dict(row) for row in section.rows] for section in evaluation.sections]


def test_numbers_of_a_tiny_cohort_by_hand(cohort: Cohort, analysis: Analysis) -> None:
    found = evaluate(tiny_classifier(), analysis, cohort, top=0.5)

    mean = np.array(MEANS, float)
    np.testing.assert_allclose(found.consistency.logits[:, 0], 10 + mean, rtol=1e-6)
    np.testing.assert_allclose(found.consistency.logits[:, 1], 20 - 1.5 * mean, rtol=1e-6)
    # the feature grid is the image grid, so that the sums are the logits without their biases
    np.testing.assert_allclose(found.consistency.sums[:, 0, 1], mean, atol=1e-6)
    np.testing.assert_allclose(found.consistency.sums[:, 1, 1], -1.5 * mean, atol=1e-5)
    for c in (0, 1):
        assert found.consistency.correlations[c, 1].coefficient == pytest.approx(1)
    # class 0 is answered where the mean is above 4: wrong for the 6
    assert found.masked_accuracy is not None
    every, principal, others = found.masked_accuracy.sets
    assert every.accuracy == pytest.approx(5 / 6)
    # contributions are (m, 0) to class 0 and (0.5 m, −2 m) to class 1: feature 0 leads in both
    assert (principal.kept, others.kept) == (1, 1)
    # 10 + m against 20 + 0.5 m, and 10 against 20 − 2 m
    assert principal.accuracy == pytest.approx(4 / 6)
    assert others.accuracy == pytest.approx(4 / 6)
    assert found.masking_curve is not None
    assert [p.kept for p in found.masking_curve.of_order("most important first")] == [1, 2]
    assert found.masking_curve.chance == 0.5
    assert (found.cases, found.unlabelled, found.skipped) == (6, 0, ())
    assert found.localisation is None
    said = repr(found).splitlines()
    assert said[0] == "Evaluation of 6 cases"
    assert said[1:] == [f"{one.title}: {one.meaning}" for one in found.sections]
    bars = found.sections[1].draw().axes[0]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([5 / 6, 4 / 6, 4 / 6])
    assert "Wilson" in bars.get_title(loc="left")
    assert [section.key for section in found.sections] == [
        "consistency",
        "masked_accuracy",
        "masking_curve",
        "average_drop",
    ]


def test_masked_inputs_answer_as_the_network_does(cohort: Cohort, analysis: Analysis) -> None:
    classifier = tiny_classifier(bent=True)
    bent = analyze(classifier, cohort)

    found = evaluate(classifier, bent, cohort).average_drop

    assert found is not None
    for n, case in enumerate(cohort.cases):
        x = classifier.preprocess(case.read()).as_tensor()[None].float()
        chosen = int(classifier.network(x)[0].argmax())
        head = classifier.network.linear.weight[chosen].detach()
        pooled = x.mean()
        # the bent head lets one feature through, x or −x
        gradient = head[0] if pooled > 0 else -head[1]
        own = (gradient * x).relu()
        usual = own / own.max() if own.max() > 0 else own
        usual = (own - own.min()) / (own.max() - own.min()) if own.max() > own.min() else usual * 0
        with torch.no_grad():
            logits = classifier.network(torch.cat([x, x * usual])).double().numpy()
        p = classifier.probabilities(logits)[:, chosen]
        assert (found.probability[n], found.masked[n]) == pytest.approx(tuple(p))


@pytest.mark.parametrize("bent", [False, True])
def test_batches_of_any_size_give_the_same(bent: bool, cohort: Cohort) -> None:
    classifier = tiny_classifier(bent)
    analysis = analyze(classifier, cohort)
    one = tables(evaluate(classifier, analysis, cohort, batch_size=1))

    for size in (4, None):
        other = tables(evaluate(classifier, analysis, cohort, batch_size=size))
        for rows, expected in zip(other, one, strict=True):
            for row, wanted in zip(rows, expected, strict=True):
                texts = {name for name, value in wanted.items() if isinstance(value, str)}
                assert {name: row[name] for name in texts} == {n: wanted[n] for n in texts}
                numbers = [[r[name] for name in r if name not in texts] for r in (row, wanted)]
                assert numbers[0] == pytest.approx(numbers[1], rel=1e-4, abs=1e-6, nan_ok=True)


def test_the_same_seed_gives_the_same_and_another_other_random_orders(tmp_path: Path) -> None:
    classifier = load_classifier(samples.bundle("clean"))
    cohort = read_cohort(samples.cohort("clean"), "test")
    few = Cohort("few", cohort.cases[::3])
    analysis = analyze(classifier, few)

    first, again, other = (
        evaluate(classifier, analysis, few, fractions=(0.2, 0.5), seed=seed) for seed in (0, 0, 1)
    )

    curves = [one.masking_curve for one in (first, again, other)]
    assert all(curve is not None for curve in curves)
    assert curves[0].points == curves[1].points
    assert curves[0].of_order("random") != curves[2].of_order("random")
    by_importance = "most important first"
    assert curves[0].of_order(by_importance) == curves[2].of_order(by_importance)


def test_the_sample_heads(tmp_path: Path) -> None:
    classifier = load_classifier(samples.bundle("clean"))
    datalist = samples.cohort("clean")
    test = read_cohort(datalist, "test")
    analysis = analyze(classifier, read_cohort(datalist, "training"), "pixelwise")

    found = evaluate(classifier, analysis, test)

    # a pooled linear head behind a feature grid that divides the image's
    for c in range(3):
        assert found.consistency.correlations[c, 1].pearson > 0.9999
    truth = np.array([classifier.class_index(case.label) for case in test.cases])
    right = found.consistency.predicted == truth
    assert found.masked_accuracy is not None
    every, principal, others = found.masked_accuracy.sets
    assert every.accuracy == right.mean()
    assert principal.accuracy > others.accuracy
    assert principal.kept <= 6
    assert found.localisation is not None
    assert len(found.localisation.found) == (truth > 0).sum()
    assert found.localisation.empty + len(found.localisation.found) == len(test)
    everywhere = sections_of(found.localisation)[0].rows[-1]
    assert everywhere["positive_share"] > 10 * everywhere["lesion_share"]
    for section in found.sections:
        assert section.draw is not None
        assert section.draw().get_facecolor() == (1, 1, 1, 1)
        assert all(row.keys() == section.columns.keys() for row in section.rows)
        section.draw().savefig(tmp_path / f"{section.key}.png")
        assert "nan" not in section.meaning


def test_an_analysis_of_another_model_is_refused(cohort: Cohort, analysis: Analysis) -> None:
    with refused(AnalysisMismatchError, AnalysisProblem.OTHER_MODEL, different=["weights"]):
        evaluate(tiny_classifier(bent=True), analysis, cohort)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"fractions": ()}, EvaluationProblem.NO_SHARES),
        ({"batch_size": 0}, CohortProblem.NO_BATCH),
        ({"by": "size"}, EvaluationProblem.NO_SUCH_RANKING),
    ],
)
def test_options_that_are_none_are_refused(options, kind, cohort, analysis) -> None:
    with refused(AnalysisError, kind):
        evaluate(tiny_classifier(), analysis, cohort, **options)


@pytest.mark.parametrize("options", [{"top": 5}, {"fractions": (0.5, 0)}])
def test_a_share_of_features_that_is_none_is_refused(options, cohort, analysis) -> None:
    with refused(AnalysisError, AnalysisProblem.NO_SHARE):
        evaluate(tiny_classifier(), analysis, cohort, **options)


def test_an_empty_cohort_and_a_foreign_label_are_refused(tmp_path, analysis) -> None:
    with refused(CohortError, CohortProblem.EMPTY):
        evaluate(tiny_classifier(), analysis, Cohort("empty", ()))
    with refused(CohortError, CohortProblem.NO_SUCH_CLASS, case="case_1.nii"):
        evaluate(tiny_classifier(), analysis, write(tmp_path / "foreign", (1, 2), (0, 7)))


def test_progress_is_told_and_a_stop_ends_the_work(cohort: Cohort, analysis: Analysis) -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(Cancelled):
        evaluate(
            tiny_classifier(),
            analysis,
            cohort,
            batch_size=2,
            progress=lambda *done: told.append(done),
            stop=lambda: len(told) > 1,
        )
    assert told == [(2, 6), (4, 6)]


def test_cases_without_labels_count_where_none_is_needed(tmp_path: Path, analysis) -> None:
    some = write(tmp_path / "some", MEANS, (0, None, 1, None, 1, 0))
    none = write(tmp_path / "none", MEANS, (None,) * 6)

    found = evaluate(tiny_classifier(), analysis, some)
    nothing = evaluate(tiny_classifier(), analysis, none)

    assert found.unlabelled == 2
    assert found.masked_accuracy is not None
    assert found.masked_accuracy.sets[0].n == 4
    assert len(found.consistency.logits) == 6
    assert found.average_drop is not None
    assert len(found.average_drop.predicted) == 6
    assert "2 of 6 cases have no label" in found.notes[0]
    assert nothing.masked_accuracy is None
    assert nothing.masking_curve is None
    assert "No case has a label" in nothing.notes[0]


def test_an_analysis_without_labels_ranks_by_all_cases_and_says_so(tmp_path, cohort) -> None:
    unlabelled = analyze(tiny_classifier(), write(tmp_path / "none", MEANS, (None,) * 6))

    found = evaluate(tiny_classifier(), unlabelled, cohort)

    assert any("ranked by their mean contribution to all cases" in note for note in found.notes)
    assert found.masked_accuracy is not None
    assert found.masked_accuracy.kind == "all"


def test_a_class_without_a_case_is_named(tmp_path: Path, cohort: Cohort) -> None:
    healthy = analyze(tiny_classifier(), write(tmp_path / "healthy", MEANS, (0,) * 6))

    found = evaluate(tiny_classifier(), healthy, cohort)

    assert any("no case of lesion" in note for note in found.notes)


def test_a_class_without_a_scale_has_no_s_cam_and_is_named(tmp_path: Path, cohort) -> None:
    flat = write(tmp_path / "flat", (0.125,) * 3, (0, 1, 0))
    for case in flat.cases:
        write_image(case.path, [1.0] * 8)

    found = evaluate(tiny_classifier(), analyze(tiny_classifier(), flat), cohort)

    assert any("common scale of none, lesion" in note for note in found.notes)
    assert found.consistency.correlations[0, 2].reason == "the class has no common scale"
    assert found.consistency.correlations[0, 1].coefficient == pytest.approx(1)


@pytest.mark.parametrize("broken", ["image", "mask", "values"])
def test_what_cannot_be_used_is_skipped_and_listed(broken: str, tmp_path: Path) -> None:
    # case 3's label is not that of the last labelled case: a shift by one would be seen
    labels = [*(0, 1) * 9, 0, None]
    cohort = write(tmp_path / "many", range(20), labels)
    mask = write_image(tmp_path / "mask.nii", [1.0, 0, 0, 0, 0, 0, 0, 0])
    cases = [replace(case, mask=mask) for case in cohort.cases]
    analysis = analyze(tiny_classifier(), cohort)
    if broken == "mask":
        other = tmp_path / "other.nii"
        nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 3), np.float32), np.eye(4)), other)
        cases[3] = replace(cases[3], mask=other)
    elif broken == "image":
        cases[3].path.write_bytes(b"broken")
    else:
        write_image(cases[3].path, [float("nan")] * 8)

    found = evaluate(tiny_classifier(), analysis, Cohort("many", tuple(cases)), batch_size=8)

    (skipped,) = found.skipped
    assert skipped.id == "case_3.nii"
    assert skipped.mask_alone is (broken == "mask")
    assert found.cases == (20 if broken == "mask" else 19)
    assert found.localisation is not None
    assert len(found.localisation.found) == 19
    left_out = found.sections[-1]
    assert left_out.key == "left_out"
    assert "could not be used" in left_out.meaning
    assert [row["case"] for row in left_out.rows] == ["case_3.nii"]
    assert left_out.rows[0].keys() == left_out.columns.keys()
    # the other cases' measures are still beside their own labels
    assert found.masked_accuracy is not None
    means = [m for m in range(19) if m != 3 or broken == "mask"]
    assert found.masked_accuracy.sets[0].n == len(means)
    expected = np.mean([(m >= 4) == (labels[m] == 0) for m in means])
    assert found.masked_accuracy.sets[0].accuracy == pytest.approx(expected)


def test_images_of_several_sizes_are_evaluated_and_said(cohort: Cohort, analysis) -> None:
    wide = cohort.cases[2].path
    array = np.zeros((4, 2, 2), np.float32)
    array[0] = 3
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), wide)

    found = evaluate(tiny_classifier(), analysis, cohort, batch_size=8)

    # a mean of 12/16
    np.testing.assert_allclose(found.consistency.logits[2], [10.75, 18.875])
    np.testing.assert_allclose(found.consistency.logits[3, 0], 40)
    assert found.consistency.sums[2, 0, 1] == pytest.approx(0.75)
    assert any("2 different sizes" in note for note in found.notes)


def test_localisation_explains_the_true_class(tmp_path: Path, analysis: Analysis) -> None:
    cohort = write(tmp_path / "two", (8, 8), (0, None))
    mask = write_image(tmp_path / "mask.nii", [1.0, 0, 0, 0, 0, 0, 0, 0])
    empty = write_image(tmp_path / "empty.nii", [0.0] * 8)
    cases = tuple(replace(case, mask=mask) for case in cohort.cases)
    wrong = replace(cases[0], label=1)
    marked = Cohort("marked", (*cases, wrong, replace(cases[0], mask=empty)))

    found = evaluate(tiny_classifier(), analysis, marked).localisation

    assert found is not None
    # class 0 is predicted in all; the third case is truly of class 1, which the voxel denies
    assert found.classes == (0, 0, 1)
    assert found.empty == 1
    # 63 of 63 + ½ + ½
    assert found.found[0].positive_share == pytest.approx(63 / 64)
    assert [one.hit for one in found.found] == [True, True, False]


class Size(nn.Module):
    """Mean of the image times 2, plus 1: a regression with one output."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 1, bias=False)
        self.linear = nn.Linear(2, 1)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1))
            self.linear.weight.copy_(torch.tensor([[1.5, -0.5]]))
            self.linear.bias.fill_(1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(x).mean((2, 3, 4)))


def one_output(activation: str) -> Classifier:
    return replace(
        tiny_classifier(),
        network=Size().eval(),
        class_names=("size",),
        output_activation=activation,
        weights_sha256="size",
    )


def test_a_regression_is_compared_with_its_targets(tmp_path: Path) -> None:
    classifier = one_output("none")
    cohort = write(tmp_path / "sizes", MEANS, [2.0 * m + 1 for m in MEANS])

    found = evaluate(classifier, analyze(classifier, cohort), cohort, top=0.5)

    assert found.average_drop is None
    assert found.masked_accuracy is not None
    every, principal, others = found.masked_accuracy.sets
    assert every.r2 == pytest.approx(1)
    # feature 0 brings 1.5 of the 2 per unit of the mean
    assert (principal.kept, others.kept) == (1, 1)
    assert principal.mae == pytest.approx(0.5 * np.mean(MEANS), rel=1e-5)
    assert others.mae == pytest.approx(1.5 * np.mean(MEANS), rel=1e-5)
    assert found.masking_curve is not None
    assert found.masking_curve.measure == "R²"
    assert found.consistency.correlations[0, 1].coefficient == pytest.approx(1)
    assert [section.key for section in found.sections] == [
        "consistency",
        "masked_accuracy",
        "masking_curve",
        "left_out",
    ]
    assert found.sections[1].meaning.startswith("R² over 6 cases is 1.000")
    for section in found.sections[:3]:
        said = f"{section.title} {section.meaning} {section.limits} {section.columns}"
        assert "accuracy" not in said.lower()
    for section in found.sections[1:3]:
        assert "class" not in f"{section.title} {section.meaning} {section.columns} {section.rows}"
    left_out = found.sections[3].meaning
    assert "average increase and drop, and accuracy, do not exist for it" in left_out
    assert "counts for a class" not in left_out
    for section in found.sections[:3]:
        assert section.draw is not None
        assert section.draw().axes


def test_one_sigmoid_output_tells_present_from_absent(tmp_path: Path) -> None:
    classifier = one_output("sigmoid")
    cohort = write(tmp_path / "present", (3, -3, 2, -2), (1, 0, 0, 0))

    found = evaluate(classifier, analyze(classifier, cohort), cohort)

    assert found.masked_accuracy is not None
    # 2m + 1 is above 0 for the 3 and the 2
    assert found.masked_accuracy.sets[0].accuracy == pytest.approx(0.75)
    assert found.masked_accuracy.sets[0].auc == pytest.approx(1)
    assert found.average_drop is not None
    assert found.average_drop.probability[0] == pytest.approx(1 / (1 + np.exp(-7)))


class Around(nn.Module):
    """The features, and beside them the image itself, which no feature mask reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 1)
        self.linear = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.features(x).mean((2, 3, 4)), x.mean((2, 3, 4))], 1)
        return self.linear(both)


def test_a_way_around_the_layer_is_said(cohort: Cohort, analysis: Analysis) -> None:
    torch.manual_seed(0)
    around = replace(tiny_classifier(), network=Around().eval(), weights_sha256="around")

    found = evaluate(around, analyze(around, cohort), cohort)
    plain = evaluate(tiny_classifier(), analysis, cohort)

    for one, expected in ((found, True), (plain, False)):
        said = ["goes around the target layer" in section.limits for section in one.sections]
        assert said == [False, expected, expected, False]


def test_a_model_without_probabilities_has_no_average_drop_and_keeps_its_accuracy(
    tmp_path: Path,
) -> None:
    silent = replace(tiny_classifier(), output_activation="unknown")
    cohort = write(tmp_path / "cases", MEANS, [0, 1, 0, 1, 0, 1])

    found = evaluate(silent, analyze(silent, cohort), cohort, top=0.5)
    told = evaluate(tiny_classifier(), analyze(tiny_classifier(), cohort), cohort, top=0.5)

    assert found.average_drop is None
    assert told.average_drop is not None
    assert any("the bundle does not say" in note for note in found.notes)
    assert found.masked_accuracy is not None
    assert told.masked_accuracy is not None
    assert found.masked_accuracy.sets[0].accuracy == told.masked_accuracy.sets[0].accuracy


class Share(Size):
    """The same between 0 and 1: a network whose answer is a probability already."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sub(6).sigmoid()


def test_a_probability_says_from_one_half_that_its_class_is_present(tmp_path: Path) -> None:
    """2 · mean + 1 − 6 > 0, that is a mean above 2.5; every answer is above 0."""
    classifier = replace(one_output("identity"), network=Share().eval())
    means = [1.0, 2.0, 3.0, 4.0, 2.0, 3.0]
    cohort = write(tmp_path / "shares", means, [0, 0, 1, 1, 0, 1])

    analysis = analyze(classifier, cohort)
    found = evaluate(classifier, analysis, cohort, top=0.5)

    assert analysis.predicted.tolist() == [0, 0, 1, 1, 0, 1]
    assert found.masked_accuracy is not None
    assert found.masked_accuracy.sets[0].accuracy == 1.0
    assert found.average_drop is not None
    answers = 1 / (1 + np.exp(5 - 2 * np.array(means)))
    np.testing.assert_allclose(found.average_drop.probability, answers, rtol=1e-5)


def test_patients_of_the_list_are_the_units_of_every_section(tmp_path: Path) -> None:
    means = np.random.default_rng(0).normal(5, 4, size=40)
    cohort = write(tmp_path / "cohort", means, (means < 5).astype(int).tolist())
    paired = tuple(replace(case, group=f"p{n // 2}") for n, case in enumerate(cohort.cases))
    analysis = analyze(tiny_classifier(), cohort)

    alone = evaluate(tiny_classifier(), analysis, cohort)
    grouped = evaluate(tiny_classifier(), analysis, replace(cohort, cases=paired))

    assert len(alone.sections) == len(grouped.sections) == 4
    for section in alone.sections:
        assert "independent patients only" in section.limits
    for section in grouped.sections:
        assert "40 cases are of 20 patients or groups" in section.limits
    assert grouped.average_drop is not None
    assert grouped.average_drop.by_class[-1].drop_interval.startswith("BCa bootstrap of groups")
