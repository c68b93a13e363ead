"""With what a class is compared, and on which scale: what is chosen for a person, and by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.analysis import analyze
from napari_ifa.analysis.scale import PAPER, READING
from napari_ifa.cohorts import read_cohort
from napari_ifa.reading import read_volume
from napari_ifa.viewer.state.session import Session
from tests.tiny import TinyNetwork, tiny_classifier, write_cohort, write_image
from tests.viewer.test_session import VALUES, Heard, Runner

NAMES = ("none", "lesion", "cyst")


def of_three_classes(activation="softmax"):
    network = TinyNetwork()
    network.linear = nn.Linear(2, 3)
    with torch.no_grad():
        network.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 2.0], [0.0, -1.0]]))
        network.linear.bias.copy_(torch.tensor([10.0, 20.0, 0.0]))
    return replace(
        tiny_classifier(),
        network=network.eval(),
        class_names=NAMES,
        weights_sha256="three",
        output_activation=activation,
    )


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_image(tmp_path / "case.nii", VALUES))


@pytest.fixture
def cohort(tmp_path):
    return read_cohort(write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)]))


@pytest.fixture
def session(volume):
    session = Session(Runner())
    session.heard = Heard(session)
    session.set_classifier(of_three_classes())
    session.set_volume(volume)
    return session


def test_a_softmax_is_read_against_all_others_on_a_centred_scale(session, cohort):
    session.set_analysis(analyze(of_three_classes(), cohort))
    explanation = session.explanation
    # Mean 4.5: logits 14.5, 13.25, 4.5, and the first minus the mean of the others is 5.625.
    assert (explanation.class_idx, explanation.target) == (0, "others")
    whole = explanation.contributions.sum()
    assert whole == pytest.approx(14.5 - 10 - ((13.25 - 20) + 4.5) / 2)
    assert explanation.choice == session.scale_choice == READING
    assert explanation.scale.neutral == 0
    assert explanation.sides == ("for all others", "for none")
    expected = session.analysis.of_target("others").importance(0)
    np.testing.assert_array_equal(session.importance(), expected)
    assert session.heard.sentences == []


def test_sigmoids_are_read_by_their_own_logits(volume, cohort):
    session = Session(Runner())
    session.set_classifier(of_three_classes("sigmoid"))
    session.set_volume(volume)
    assert session.targets() == ["logit"]
    assert session.explanation.target == "logit"


def test_an_analysis_without_other_targets_is_used_for_what_it_holds_and_says_so(session, cohort):
    session.set_analysis(analyze(of_three_classes(), cohort, targets=["logit"]))
    assert session.explanation.target == "logit"
    assert session.explanation.scale is not None
    [(kind, sentence)] = session.heard.sentences
    assert kind == "note"
    assert "`napari-ifa analyze` makes one that holds them" in sentence
    assert session.targets() == ["logit"]


def test_the_runner_up_and_a_class_are_compared_with_at_once(session):
    runs = len(session._runner.titles)
    session.compare_with("runner-up")
    assert session.explanation.compared_with == "the runner-up, lesion"
    session.compare_with(2)
    assert session.explanation.sides == ("for cyst", "for none")
    assert session.explanation.contributions.sum() == pytest.approx((14.5 - 10) - 4.5)
    assert session._runner.titles[runs:] == [], "the network does not run again"
    session.compare_with("logit")
    assert session.explanation.sides == ("against none", "for none")


def test_a_class_is_never_compared_with_itself(session, tmp_path):
    session.compare_with(2)
    session.select_class(2)
    assert (session.explanation.class_idx, session.explanation.target) == (2, "others")
    assert "cyst was what the class before was compared with." in session.heard.sentences[-1][1]
    assert 2 not in session.targets()
    session.compare_with(0)
    # The next study may show that class.
    session.set_volume(read_volume(write_image(tmp_path / "next.nii", VALUES)))
    assert (session.explanation.class_idx, session.explanation.target) == (0, "others")


def test_a_class_that_the_case_was_not_run_against_is_run(volume):
    session = Session(Runner())
    # Weights that are no differences: of classes it takes a run.
    classifier = replace(of_three_classes(), network=_bent(of_three_classes().network))
    session.set_classifier(classifier)
    session.set_volume(volume)
    session.explanation.case.activations.pop("class 2", None)
    runs = session._runner.titles.count("Explaining")
    session.compare_with(2)
    assert session.explanation.target == "class 2"
    assert session._runner.titles.count("Explaining") == runs + 1


def test_what_is_chosen_while_the_network_works_is_shown(volume):
    session = Session(Runner(hold=["Explaining"]))
    session.set_classifier(of_three_classes())
    session.set_volume(volume)
    session.compare_with("runner-up")
    session.choose_scale(PAPER)
    session._runner.release()
    assert session.explanation.target == "runner-up"
    assert session.explanation.choice == PAPER


def test_the_one_other_of_two_classes_is_named(volume):
    session = Session(Runner())
    session.set_classifier(tiny_classifier())
    session.set_volume(volume)
    assert session.targets() == ["logit", "others"]
    assert session.explanation.sides == ("for lesion", "for none")


def test_probabilities_chosen_later_bring_the_other_targets(volume):
    session = Session(Runner())
    session.set_classifier(of_three_classes("unknown"))
    session.set_volume(volume)
    assert session.explanation.target == "logit"
    session.choose_activation("softmax")
    assert session.explanation.target == "others"
    assert session.explanation.probabilities.sum() == pytest.approx(1)
    session.choose_activation("sigmoid")
    assert session.explanation.target == "logit"


def _bent(network):
    network.bent = True
    return network
