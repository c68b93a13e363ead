"""Models that people reported of other programs, made here: see tests/public_reports.md."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from napari_ifa.errors import BundleError
from napari_ifa.models import load_classifier
from napari_ifa.models.problems import BundleProblem as Problem
from napari_ifa.models.weights import check_weights
from tests.models.test_bundle import CONFIG, METADATA, write_bundle
from tests.problems import refused

Weights = dict[str, torch.Tensor]
FIRST = "features.conv0.weight"
MEAN = "features.norm0.running_mean"
COUNT = "features.norm0.num_batches_tracked"


def with_weights(folder: Path, change: Callable[[Weights], Any]) -> Path:
    """A bundle whose weights were changed: by ``change``, or into what it returns."""
    bundle = write_bundle(folder)
    path = bundle / "models" / "model.pt"
    weights = torch.load(path, weights_only=True)
    torch.save(change(weights) or weights, path)
    return bundle


# A setting that is given twice: MONAI 5471, npe2 504


@pytest.mark.parametrize("at", ["network_def", "preprocessing", "metadata"])
def test_a_setting_given_twice_in_json_is_refused(tmp_path: Path, at: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    file = "metadata.json" if at == "metadata" else "inference.json"
    once, twice = {
        "network_def": ('"growth_rate": 4', '"growth_rate": 4, "growth_rate": 8'),
        "preprocessing": ('"axcodes": "RAS"', '"axcodes": "LPS", "axcodes": "RAS"'),
        "metadata": ('"1": "lesion"', '"1": "lesion", "1": "healthy"'),
    }[at]
    path = bundle / "configs" / file
    path.write_text(path.read_text().replace(once, twice))
    setting = once.split('"')[1]
    with refused(BundleError, Problem.SETTING_TWICE, file=file, entry=setting):
        load_classifier(bundle, device="cpu")


@pytest.mark.parametrize("repeat", ["size: [8, 8, 8]", '"size": [8, 8, 8]', "size: *anchor"])
def test_a_setting_given_twice_in_yaml_is_refused(tmp_path: Path, repeat: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "configs" / "inference.json").unlink()
    text = yaml.safe_dump(CONFIG) + f"other: &anchor [4, 4, 4]\n{repeat}\n"
    (bundle / "configs" / "inference.yaml").write_text(text)
    with refused(BundleError, Problem.SETTING_TWICE, file="inference.yaml", entry="size"):
        load_classifier(bundle, device="cpu")


def test_settings_of_one_name_in_several_tables_are_no_repetition(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "configs" / "inference.json").unlink()
    merged = "base: &base {a: 1, b: 2}\nmore: {<<: *base, a: 3}\nlist: [{a: 1}, {a: 1}, *base]\n"
    (bundle / "configs" / "inference.yaml").write_text(yaml.safe_dump(CONFIG) + merged)
    assert load_classifier(bundle, device="cpu").class_names == ("healthy", "lesion")


# Statistics of mixed precision that are no numbers: PyTorch 88474


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [MEAN, FIRST])
def test_weights_that_are_not_finite_are_blamed(tmp_path: Path, name: str, value: float) -> None:
    def spoil(weights: Weights) -> None:
        weights[name].flatten()[:3] = value

    bundle = with_weights(tmp_path / "bundle", spoil)
    with refused(BundleError, Problem.WEIGHTS_NOT_FINITE, file="model.pt", weights=name, found=3):
        load_classifier(bundle, device="cpu")


def test_a_buffer_that_is_no_weight_may_be_infinite() -> None:
    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)
            self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))

    network = Masked()
    check_weights(network.state_dict(), network, "model.pt")


# Numbers of another type, copied without a word: PyTorch 126000


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda weights: (weights * 100).to(torch.int8), torch.int8),
        (lambda weights: (weights * 100).to(torch.uint8), torch.uint8),
        (lambda weights: weights > 0, torch.bool),
        (lambda weights: weights.to(torch.complex64), torch.complex64),
        (lambda weights: torch.quantize_per_tensor(weights, 0.1, 0, torch.qint8), torch.qint8),
    ],
)
def test_weights_of_a_type_that_the_network_lacks_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], found: torch.dtype
) -> None:
    bundle = with_weights(tmp_path / "bundle", lambda w: {**w, FIRST: change(w[FIRST])})
    facts = {"file": "model.pt", "weights": FIRST, "found": found, "needed": torch.float32}
    with refused(BundleError, Problem.WEIGHTS_TYPE, **facts):
        load_classifier(bundle, device="cpu")


def test_a_count_that_is_no_whole_number_is_refused(tmp_path: Path) -> None:
    bundle = with_weights(tmp_path / "bundle", lambda w: {**w, COUNT: torch.tensor(7.5)})
    with refused(BundleError, Problem.WEIGHTS_TYPE, weights=COUNT, found=torch.float32):
        load_classifier(bundle, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_weights_of_any_width_load(tmp_path: Path, dtype: torch.dtype) -> None:
    def widen(weights: Weights) -> Weights:
        return {name: values.to(dtype) for name, values in weights.items()}

    bundle = with_weights(tmp_path / "bundle", widen)
    loaded = load_classifier(bundle, device="cpu").network.state_dict()[FIRST]
    stored = torch.load(bundle / "models" / "model.pt", weights_only=True)[FIRST]
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, stored.to(torch.float32), rtol=0, atol=0)


def test_weights_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    def double(weights: Weights) -> Weights:
        return weights | {f"module.{name}": values * 0 for name, values in weights.items()}

    with refused(BundleError, Problem.WEIGHTS_TWICE, file="model.pt"):
        load_classifier(with_weights(tmp_path / "bundle", double), device="cpu")


# Weights under a key that nobody looks at: MONAILabel 1508


@pytest.mark.parametrize("key", ["net", "generator", "anything"])
def test_weights_that_are_not_found_never_leave_a_network_at_random(
    tmp_path: Path, key: str
) -> None:
    bundle = with_weights(tmp_path / "bundle", lambda weights: {key: weights})
    try:
        network = load_classifier(bundle, device="cpu").network
    except BundleError:
        return
    # Where it is found after all, it must be what was saved.
    stored = torch.load(bundle / "models" / "model.pt", weights_only=True)[key]
    for name, values in network.state_dict().items():
        torch.testing.assert_close(values, stored[name], rtol=0, atol=0)


# Classes in the order of their numbers, not of their texts: fastai 3945


def with_classes(folder: Path, names: Any, outputs: int) -> Path:
    config, metadata = copy.deepcopy(CONFIG), copy.deepcopy(METADATA)
    config["network_def"]["out_channels"] = outputs
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = names
    bundle = write_bundle(folder, config, metadata)
    from monai.networks.nets import DenseNet

    network = {k: v for k, v in config["network_def"].items() if k != "_target_"}
    torch.save(DenseNet(**network).state_dict(), bundle / "models" / "model.pt")
    return bundle


def test_more_than_ten_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = {str(number): f"class of output {number}" for number in range(12)}
    as_texts = json.loads(json.dumps(names, sort_keys=True))
    assert list(as_texts)[:3] == ["0", "1", "10"]
    classifier = load_classifier(with_classes(tmp_path / "bundle", as_texts, 12), device="cpu")
    assert classifier.class_names == tuple(f"class of output {k}" for k in range(12))
    assert classifier.class_index("class of output 10") == 10


# Classes of one name: VolView 477


@pytest.mark.parametrize("as_list", [True, False])
def test_classes_of_one_name_are_told_apart(tmp_path: Path, as_list: bool) -> None:
    names = ["lesion", "healthy", "lesion"]
    given = names if as_list else {str(k): name for k, name in enumerate(names)}
    classifier = load_classifier(with_classes(tmp_path / "bundle", given, 3), device="cpu")
    assert classifier.class_names == ("lesion (0)", "healthy", "lesion (2)")
    assert classifier.class_index("lesion (2)") == 2
    with refused(
        BundleError, Problem.NO_SUCH_CLASS, asked="lesion", classes=classifier.class_names
    ):
        classifier.class_index("lesion")
