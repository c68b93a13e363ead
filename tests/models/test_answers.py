"""Probabilities come from what a bundle or its network says, and from nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.errors import BundleError
from napari_ifa.models import Classifier, load_classifier
from napari_ifa.models.answers import BY_CHANCE, activation_of, observed
from napari_ifa.models.problems import BundleProblem as Problem
from tests.problems import refused

CLASSES = {"0": "healthy", "1": "lesion"}


def told(postprocessing: Any = None, metadata: Any = None, outputs: int = 2, **config: Any) -> str:
    """What a bundle with this postprocessing says, of a network that ends in logits."""
    whole = {**config, **({} if postprocessing is None else {"postprocessing": postprocessing})}
    return activation_of(whole, metadata or {}, outputs, None)[0]


def step(name: str = "Activationsd", **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": "pred", **arguments}


def chain(*steps: Any) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": list(steps)}


TOLD = {
    "nothing": (None, "unknown"),
    "softmax": (step(softmax=True), "softmax"),
    "sigmoid": (chain(step(sigmoid=True)), "sigmoid"),
    "as texts": (chain(step(sigmoid="true")), "sigmoid"),
    "as an expression that is a value": (chain(step(softmax="$True")), "softmax"),
    "its long name": (
        step("monai.transforms.post.dictionary.Activationsd", sigmoid=True),
        "sigmoid",
    ),
    "by arrays": ({"_target_": "Activations", "softmax": True}, "softmax"),
    "behind others": (
        chain(step("Invertd"), chain(step("EnsureTyped"), step(softmax=True)), step("SaveImaged")),
        "softmax",
    ),
    "both off": (step(sigmoid=False, softmax=False), "unknown"),
    "one of two keys": (
        step(keys=["label", "pred"], sigmoid=[True, False], softmax=[False, True]),
        "softmax",
    ),
    "of another key": (step(keys="label", sigmoid=True), "unknown"),
    "switched off": (step(sigmoid=True, _disabled_=True), "unknown"),
    "switched off by a text": (step(sigmoid=True, _disabled_=" TRUE"), "unknown"),
    "all switched off": ({**chain(step(sigmoid=True)), "_disabled_": True}, "unknown"),
    "one switched off, one on": (
        chain(step(sigmoid=True, _disabled_="true"), step(softmax=True)),
        "softmax",
    ),
    "switched on": (step(sigmoid=True, _disabled_="false"), "sigmoid"),
    "perhaps switched off": (step(sigmoid=True, _disabled_="$not @final"), "unknown"),
    "an expression": (step(softmax="$@classes > 1"), "unknown"),
    "classes cut off by their argmax": (step("AsDiscreted", argmax=True), "unknown"),
    "the words elsewhere": (step("SaveImaged", note='"sigmoid":true'), "unknown"),
    "nested in another argument": (step("Invertd", inner={"sigmoid": True}), "unknown"),
    "other, by name": (step(other="$torch.sigmoid"), "sigmoid"),
    "other, a function": (step(other="$lambda x: torch.softmax(x, dim=0)"), "softmax"),
    "other, a module": (step(other={"_target_": "torch.nn.Softmax", "dim": 1}), "softmax"),
    "other, of another axis": (step(other="$torch.nn.Softmax(dim=3)"), "unknown"),
    "other, unknown": (step(other="$lambda x: x / 100"), "unknown"),
    "a module": ({"_target_": "torch.nn.Sigmoid"}, "sigmoid"),
    "a function of its own": (step("Lambdad", func="$torch.sigmoid"), "sigmoid"),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_postprocessing_is_read_as_what_it_does(case: str) -> None:
    postprocessing, expected = TOLD[case]
    assert told(postprocessing) == expected


def test_references_are_followed() -> None:
    assert told("@post", post=chain("@act"), act=step(softmax="@on"), on=True) == "softmax"
    assert told(step(keys="@key", sigmoid=True), key="pred") == "sigmoid"
    assert told("@post", post="@post") == "unknown"


def test_the_outputs_own_name_counts_where_it_is_the_only_one() -> None:
    metadata = {"network_data_format": {"outputs": {"probs": {}}}}
    assert told(step(keys="probs", sigmoid=True), metadata) == "sigmoid"
    assert told(step(keys="probs", sigmoid=True)) == "unknown"


def test_a_softmax_of_one_output_says_nothing() -> None:
    found, notes = activation_of({"postprocessing": step(softmax=True)}, {}, 1, None)
    assert found == "unknown"
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"task": "Bone age regression"}, "none"),
        ({"task": "Bone age"}, "unknown"),
        ({"task": "Classification of a head CT"}, "unknown"),
        ({"network_data_format": {"outputs": {"pred": {"type": "probabilities"}}}}, "unknown"),
        ({"network_data_format": {"outputs": {"pred": {"activation": "sigmoid"}}}}, "sigmoid"),
        ({"network_data_format": {"outputs": {"pred": {"format": "regression"}}}}, "none"),
    ],
)
def test_a_task_is_no_activation(metadata: dict[str, Any], expected: str) -> None:
    assert told(None, metadata, 1) == expected


def test_what_a_person_says_comes_first_but_nothing_is_applied_twice() -> None:
    config = {"postprocessing": step(softmax=True)}
    assert activation_of(config, {}, 2, None, "sigmoid")[0] == "sigmoid"
    assert activation_of(config, {}, 2, "softmax", "softmax")[0] == "identity"
    assert activation_of(config, {"task": "regression"}, 1, None, "sigmoid")[0] == "sigmoid"
    with refused(BundleError, Problem.NO_SUCH_ACTIVATION, asked="relu"):
        activation_of(config, {}, 2, None, "relu")  # type: ignore[arg-type]


# ----------------------------------------------------------------- the network's own activation


class Ending(nn.Module):
    """Features (4), their mean, a linear layer, and an ending."""

    def __init__(self, ending: Any, outputs: int = 2) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(outputs)
        self.features = nn.Conv2d(1, 4, 3)
        self.linear = nn.Linear(4, outputs)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.ending = ending

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.ending(self.linear(self.features(x).mean((2, 3))))
        return answer


class Noisy(Ending):
    """A dropout that is on whatever the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = nn.functional.dropout(self.features(x), 0.5, training=True)
        answer: torch.Tensor = self.linear(features.mean((2, 3)))
        return answer


class StubbornDropout(nn.Dropout):
    """One that stays in training mode."""

    def train(self, mode: bool = True) -> StubbornDropout:
        return super().train(True)


def plain(y: torch.Tensor) -> torch.Tensor:
    return y


ENDINGS = {
    "logits": (plain, 2, None),
    "one logit": (plain, 1, None),
    "a softmax": (nn.Softmax(1), 3, "softmax"),
    "softmax, a function": (lambda y: torch.softmax(y, 1), 2, "softmax"),
    "by hand": (lambda y: y.exp() / y.exp().sum(1, keepdim=True), 2, "softmax"),
    "a sigmoid": (nn.Sigmoid(), 1, "sigmoid"),
    "sigmoids": (lambda y: y.sigmoid(), 3, "sigmoid"),
    "rearranged": (lambda y: y.sigmoid().squeeze(1), 1, "sigmoid"),
    "half a tanh": (lambda y: (y.tanh() + 1) / 2, 2, "sigmoid"),
    "a clamp": (lambda y: y.clamp(0, 1), 2, "sigmoid"),
    "log-softmax": (nn.LogSoftmax(1), 2, "log-softmax"),
    "a tanh": (nn.Tanh(), 2, None),
    "scaled": (lambda y: y * 1e-9, 2, None),
    "a ReLU": (nn.ReLU(), 1, None),
    "near one half": (lambda y: nn.functional.layer_norm(y, y.shape[1:]) / 20 + 0.5, 3, None),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_a_networks_own_activation_is_found(case: str) -> None:
    ending, outputs, expected = ENDINGS[case]
    network = Ending(ending, outputs).eval()
    example = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = observed(network, example, "features")
    assert found.own == expected
    assert not found.by_chance


def test_a_dropout_that_stays_on_is_found() -> None:
    example = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert observed(Noisy(plain).eval(), example, "features").by_chance
    stubborn = Ending(nn.Sequential(StubbornDropout(0.5), nn.Linear(2, 2))).eval()
    assert observed(stubborn, example, "features").by_chance
    usual = Ending(nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))).eval()
    assert not observed(usual, example, "features").by_chance


# ----------------------------------------------------------------- through a bundle

MODEL = {
    "_target_": "monai.networks.nets.Classifier",
    "in_shape": [1, 12, 12],
    "classes": 2,
    "channels": [4, 6],
    "strides": [2, 2],
}
PREPROCESSING = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Resized", "keys": "image", "spatial_size": [12, 12]},
]


def bundle(
    folder: Path, network: dict[str, Any], postprocessing: Any = None, **metadata: Any
) -> Path:
    from monai.networks import nets

    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {"network_def": network, "preprocessing": PREPROCESSING}
    if postprocessing is not None:
        config["postprocessing"] = postprocessing
    whole = {
        "network_data_format": {
            "inputs": {"image": {"num_channels": 1, "spatial_shape": [12, 12]}},
            "outputs": {"pred": {"channel_def": copy.deepcopy(CLASSES)}},
        },
        **metadata,
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(whole))
    arguments = {key: value for key, value in network.items() if key != "_target_"}
    torch.manual_seed(0)
    made = nets.Classifier(**arguments)
    torch.save(made.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    def load(
        network: dict[str, Any], post: Any = None, *, output_activation: Any = None
    ) -> Classifier:
        return load_classifier(
            bundle(tmp_path / "bundle", network, post), output_activation=output_activation
        )

    return load


def test_a_bundle_that_says_nothing_has_no_probabilities(loaded: Any) -> None:
    classifier = loaded(MODEL)
    assert classifier.output_activation == "unknown"
    assert classifier.probabilities([1.0, 2.0]) is None
    assert classifier.no_probabilities == (
        "no probabilities: the bundle does not say how its outputs become them"
    )


def test_a_person_can_say_what_the_bundle_does_not(loaded: Any) -> None:
    classifier = loaded(MODEL, output_activation="sigmoid")
    np.testing.assert_allclose(classifier.probabilities([0.0, np.log(3)]), [0.5, 0.75])
    assert classifier.source.output_activation == "sigmoid"


def test_an_activation_of_the_networks_own_is_not_applied_again(loaded: Any) -> None:
    """MONAI's `Classifier` with `last_act`, and a postprocessing that asks for it once more."""
    classifier = loaded({**MODEL, "last_act": "sigmoid"}, step(sigmoid=True))
    assert classifier.output_activation == "identity"
    np.testing.assert_array_equal(classifier.probabilities([0.25, 0.75]), [0.25, 0.75])
    assert any("a probability already" in note for note in classifier.notes)


def test_a_log_softmax_gives_its_probabilities(loaded: Any) -> None:
    classifier = loaded({**MODEL, "last_act": ["logsoftmax", {"dim": 1}]})
    np.testing.assert_allclose(classifier.probabilities(np.log([0.2, 0.8])), [0.2, 0.8])


def test_an_answer_by_chance_is_said_with_every_explanation() -> None:
    from monai.transforms import EnsureChannelFirst

    from napari_ifa.analysis import explain
    from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
    from napari_ifa.reading import picture_volume

    classifier = Classifier(
        network=Noisy(plain).eval(),
        class_names=("a", "b"),
        target_layer="features",
        preprocessing=Preprocessing.from_built([OpenedImage({}), EnsureChannelFirst()]),
        device=torch.device("cpu"),
        output_activation="unknown",
        notes=(BY_CHANCE,),
    )
    explanation = explain(classifier, picture_volume(np.random.default_rng(0).random((9, 8))))
    assert explanation.probabilities is None
    assert explanation.masked_probabilities is None
    assert BY_CHANCE in explanation.notes
    assert explanation.notes[0].startswith("No probabilities:")
