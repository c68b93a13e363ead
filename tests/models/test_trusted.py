"""What trust runs: the bundle's own code, under names of its own, and nothing that it need not."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from napari_ifa.errors import BundleError
from napari_ifa.models import load_classifier
from napari_ifa.models.problems import BundleProblem as Problem
from napari_ifa.reading import read_volume
from tests.problems import refused

METADATA = {
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [8, 8, 8]}},
        "outputs": {"pred": {"channel_def": {"0": "healthy", "1": "lesion"}}},
    },
}
LOAD = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
]
PREPROCESSING = {"_target_": "Compose", "transforms": LOAD}
NET = '''
import torch
from torch import nn


class Net(nn.Module):
    """Adds `BIAS` to both logits."""

    BIAS = {bias}

    def __init__(self, width=2, pretrained=False):
        super().__init__()
        assert not pretrained, "would download"
        self.features = nn.Conv3d(1, width, 1)
        self.linear = nn.Linear(width, 2)

    def forward(self, x):
        {lazy}
        return self.linear(self.features(x).mean((2, 3, 4))) + self.BIAS


def size():
    return 2
'''
IN_SCRIPTS = {"_target_": "scripts.net.Net"}


def state() -> dict[str, torch.Tensor]:
    return {
        "features.weight": torch.ones(2, 1, 1, 1, 1),
        "features.bias": torch.zeros(2),
        "linear.weight": torch.eye(2),
        "linear.bias": torch.zeros(2),
    }


def net(bias: float = 0, lazy: str = "pass") -> str:
    return NET.format(bias=bias, lazy=lazy)


def write(
    folder: Path,
    files: dict[str, str],
    network: Any = None,
    preprocessing: Any = None,
    **entries: Any,
) -> Path:
    config = {
        "network_def": network or IN_SCRIPTS,
        "preprocessing": preprocessing or PREPROCESSING,
        **entries,
    }
    contents = {
        "configs/inference.json": json.dumps(config),
        "configs/metadata.json": json.dumps(METADATA),
        **files,
    }
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "models").mkdir(exist_ok=True)
    torch.save(state(), folder / "models" / "model.pt")
    return folder


def load(folder: Path) -> Any:
    return load_classifier(folder, device="cpu", trust=True)


def answer(classifier: Any, value: float = 1.0) -> list[float]:
    with torch.no_grad():
        return classifier.network(torch.full((1, 1, 8, 8, 8), value))[0].tolist()


def test_two_bundles_with_one_name_for_their_modules_do_not_mix(tmp_path: Path) -> None:
    one = load(write(tmp_path / "one", {"scripts/__init__.py": "", "scripts/net.py": net(10)}))
    two = load(write(tmp_path / "two", {"scripts/__init__.py": "", "scripts/net.py": net(20)}))

    assert answer(one) == [11, 11]
    assert answer(two) == [21, 21]


def test_nothing_of_a_bundle_lies_where_others_would_find_it(tmp_path: Path) -> None:
    path, known = list(sys.path), set(sys.modules)
    files = {"scripts/net.py": "import extra_layers\n" + net(), "extra_layers.py": "x = 1\n"}
    load(write(tmp_path / "bundle", files))

    assert sys.path == path
    own = {name for name in set(sys.modules) - known if "scripts" in name or "extra" in name}
    assert own
    assert all(name.startswith("napari_ifa_bundle_") for name in own)
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_changed_bundle_takes_the_new_code_at_once(tmp_path: Path) -> None:
    """Also where neither the size of the file nor the second of its change tells that."""
    folder = write(tmp_path / "bundle", {"scripts/net.py": net(10)})
    before = load(folder)
    (folder / "scripts" / "net.py").write_text(net(30))
    after = load(folder)

    assert (answer(before), answer(after)) == ([11, 11], [31, 31])


@pytest.mark.parametrize(
    ("network", "files"),
    [
        (IN_SCRIPTS, {"scripts/net.py": net()}),
        ({"_target_": "net.Net"}, {"net.py": net()}),
        (
            {"_target_": "scripts.Net"},
            {"scripts/__init__.py": "from .net import Net", "scripts/net.py": net()},
        ),
        ("$scripts.net.Net()", {"scripts/__init__.py": "", "scripts/net.py": net()}),
        ("$Net()", {"scripts/net.py": net(), "#": ["$from scripts.net import Net"]}),
        ("$n.Net(width=@width)", {"scripts/net.py": net(), "#": ["$import scripts.net as n"]}),
        ("$scripts.net.Net()", {"scripts/net.py": net(), "#": ["$import scripts.net"]}),
        (
            {"_target_": "scripts.net.Net", "width": "$scripts.net.size()"},
            {"scripts/net.py": net()},
        ),
        ({"_target_": "$scripts.net.Net"}, {"scripts/net.py": net()}),
        ("$(lambda: scripts.net.Net())()", {"scripts/net.py": net()}),
        ("$[scripts.net.Net() for _ in range(1)][0]", {"scripts/net.py": net()}),
        (
            {"_target_": "scripts.made.make"},
            {
                "scripts/made.py": "from . import net\nfrom .parts.more import one\n"
                "def make():\n    return net.Net(2 * one)\n",
                "scripts/parts/more.py": "from ..net import Net\none = 1\n",
                "scripts/net.py": net(),
            },
        ),
        (
            {"_target_": "scripts.made.make"},
            {
                "scripts/made.py": "import importlib\n"
                "def make():\n    return importlib.import_module('scripts.net').Net()\n",
                "scripts/net.py": net(),
            },
        ),
        (
            {"_target_": "scripts.made.make"},
            {
                "scripts/made.py": "from __future__ import annotations\n"
                "from dataclasses import dataclass\nimport scripts.net\n"
                "@dataclass\nclass Options:\n    width: int = 2\n"
                "def make():\n    return scripts.net.Net(Options().width)\n",
                "scripts/net.py": net(),
            },
        ),
        ({"_target_": "scripts.net.Net", "width": "@width"}, {"scripts/net.py": net()}),
        (
            "%parts.json::net",
            {"parts.json": json.dumps({"net": IN_SCRIPTS}), "scripts/net.py": net()},
        ),
        ("%other", {"scripts/net.py": net()}),
    ],
)  # fmt: skip
def test_every_way_to_name_the_bundles_code_leads_to_it(
    network: Any, files: dict[str, Any], tmp_path: Path
) -> None:
    imports = files.get("#", [])
    texts = {name: text for name, text in files.items() if name != "#"}
    folder = write(tmp_path / "bundle", texts, network, imports=imports, width=2, other=IN_SCRIPTS)

    assert answer(load(folder)) == [1, 1]


def test_an_import_at_the_forward_pass_finds_the_bundles_file_as_it_was(tmp_path: Path) -> None:
    lazy = "from scripts import later; x = x + later.MORE"
    one = write(tmp_path / "1", {"scripts/net.py": net(0, lazy), "scripts/later.py": "MORE = 1"})
    two = write(tmp_path / "2", {"scripts/net.py": net(0, lazy), "scripts/later.py": "MORE = 2"})
    first, second = load(one), load(two)
    (one / "scripts" / "later.py").write_text("MORE = 9")

    assert (answer(first), answer(second)) == ([2, 2], [3, 3])


def test_the_code_is_part_of_the_model(tmp_path: Path) -> None:
    files = {"scripts/net.py": net()}
    one = write(tmp_path / "1", files)
    assert load(one).identity() == load(write(tmp_path / "2", files)).identity()

    other = load(write(tmp_path / "3", {"scripts/net.py": net(5)})).identity()
    differing = {key for key, text in load(one).identity().items() if other[key] != text}
    assert differing == {"code"}


def test_code_that_runs_only_later_is_part_of_the_model_and_other_files_are_not(
    tmp_path: Path,
) -> None:
    """A function that nobody called yet imports a file; the training is no part of the model."""
    text = net() + "\n\ndef later():\n    from .inside import value\n    return value\n"
    files = {"scripts/net.py": text, "scripts/inside.py": "value = 1\n", "train.py": "x = 1\n"}
    folder = write(tmp_path / "bundle", files)
    before = load(folder).identity()["code"]

    (folder / "train.py").write_text("x = 2\n")
    assert load(folder).identity()["code"] == before
    (folder / "scripts" / "inside.py").write_text("value = 2\n")
    assert load(folder).identity()["code"] != before


SAFE_NETWORK = {
    "_target_": "DenseNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "init_features": 4,
    "growth_rate": 4,
    "block_config": [1, 1],
}


def safe_bundle(folder: Path, network: Any = None, **entries: Any) -> Path:
    from monai.networks.nets import DenseNet

    torch.manual_seed(0)
    write(folder, {}, network or SAFE_NETWORK, **entries)
    made = DenseNet(**{k: v for k, v in SAFE_NETWORK.items() if k != "_target_"})
    torch.save(made.state_dict(), folder / "models" / "model.pt")
    (folder / "configs" / "metadata.json").write_text(
        json.dumps(METADATA).replace("8, 8, 8", "16, 16, 16")
    )
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, 1, 2, 1])), tmp_path / "image.nii")
    return tmp_path / "image.nii"


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"imports": ["$import a_package_that_is_not_there"]},
        {"handlers": "$__import__('sys').exit(3)", "trainer": {"_target_": "no.such.Thing"}},
        {"evaluator": "%missing.json::x"},
        {"preprocessing": {**PREPROCESSING, "transforms": [*LOAD, "@on"]},
         "on": {"_target_": "ScaleIntensityd", "keys": "image"},
         "off": {"_target_": "no.such.Transform", "_disabled_": True}},
        {"preprocessing": {**PREPROCESSING, "lazy": False, "transforms": [
            {"_target_": "LoadImaged", "keys": "image", "dtype": "float64"}, *LOAD[1:]]}},
    ],
)  # fmt: skip
def test_what_loads_without_trust_loads_alike_with_it(
    entries: dict[str, Any], tmp_path: Path, image: Path
) -> None:
    folder = safe_bundle(tmp_path / "bundle", **entries)

    plain, trusted = load_classifier(folder, device="cpu"), load(folder)

    assert plain.identity() == trusted.identity()
    assert plain.identity()["code"] == ""
    assert type(plain.preprocessing.chain) is type(trusted.preprocessing.chain)
    assert vars(plain.preprocessing.image) == vars(trusted.preprocessing.image)
    volume = read_volume(image)
    one, other = plain.preprocess(volume), trusted.preprocess(volume)
    assert torch.equal(one, other)
    assert torch.equal(one.affine, other.affine)


def test_a_disabled_component_is_left_out_whatever_way_that_is_written(tmp_path: Path) -> None:
    for number, flag in enumerate((True, "true", "TRUE ", 1, "@flag")):
        step = {"_target_": "Rotate90d", "keys": "image", "_disabled_": flag}
        chain = {**PREPROCESSING, "transforms": [*LOAD, step]}
        folder = safe_bundle(tmp_path / f"{number}", preprocessing=chain, flag=True)
        assert len(load_classifier(folder, device="cpu").preprocessing.chain.transforms) == 2


def test_trust_downloads_no_pretrained_weights(tmp_path: Path) -> None:
    network = {**IN_SCRIPTS, "pretrained": True}
    assert answer(load(write(tmp_path / "a", {"scripts/net.py": net()}, network))) == [1, 1]

    default = net().replace("pretrained=False", "pretrained=True")
    assert answer(load(write(tmp_path / "b", {"scripts/net.py": default}))) == [1, 1]


def test_expressions_mean_what_they_mean_to_monai(tmp_path: Path) -> None:
    from monai.bundle import ConfigParser

    config = {
        "network_def": copy.deepcopy(SAFE_NETWORK) | {"block_config": "$[@one] * 2"},
        "preprocessing": PREPROCESSING,
        "one": "$len(@names)",
        "names": ["a"],
        "nested": {"a": 2, "b": "$@::a + @nested::a", "c": "@::b", "d": "$np.arange(@one)[0]"},
        "partial": {"_target_": "torch.add", "_mode_": "callable", "other": 2},
        "times": "$[x * @one for x in range(3) if np.isfinite(x)]",
    }
    from napari_ifa.models.own_code import OwnCode
    from napari_ifa.models.trusted import TrustedBuilder

    builder = TrustedBuilder(config, code=OwnCode(tmp_path))
    parser = ConfigParser(copy.deepcopy(config))
    for key in ("one", "nested", "times", "nested::b"):
        assert builder.build(key) == parser.get_parsed_content(key), key
    made = builder.build("partial")
    assert made(torch.tensor(1)) == parser.get_parsed_content("partial")(torch.tensor(1)) == 3
    assert isinstance(builder.build("network_def"), torch.nn.Module)


def test_a_setting_that_a_definition_refers_to_is_part_of_the_model(tmp_path: Path) -> None:
    chain = {**PREPROCESSING, "transforms": [*LOAD, {"_target_": "Resized", "keys": "image",
             "spatial_size": "@size"}]}  # fmt: skip
    one = safe_bundle(tmp_path / "1", preprocessing=chain, size="@near", near=[16, 16, 16])
    other = safe_bundle(tmp_path / "2", preprocessing=chain, size="@near", near=[24, 24, 24])

    mine, theirs = load_classifier(one).identity(), load_classifier(other).identity()

    assert {key for key in mine if mine[key] != theirs[key]} == {"settings"}


FAILS = Problem.TRUSTED_CODE_FAILS


@pytest.mark.parametrize(
    ("files", "network", "kind", "facts"),
    [
        (
            {"scripts/net.py": "import a_missing_package\n"},
            IN_SCRIPTS,
            Problem.NEEDS_PACKAGE,
            {"package": "a_missing_package"},
        ),
        ({"scripts/net.py": "x = 1\n"}, IN_SCRIPTS, FAILS, "has no attribute 'Net'"),
        ({"scripts/net.py": "def\n"}, IN_SCRIPTS, FAILS, "invalid syntax"),
        ({"scripts/net.py": "import sys\nsys.exit(3)\n"}, IN_SCRIPTS, FAILS, "3"),
        (
            {"scripts/net.py": "raise ValueError('one\\ntwo /home/a_name/x/file.txt')\n"},
            IN_SCRIPTS,
            FAILS,
            "one",
        ),
        (
            {"scripts/net.py": "open('/home/a_name/of/a/person/file.txt')\n"},
            IN_SCRIPTS,
            FAILS,
            "'file.txt'",
        ),
        ({}, IN_SCRIPTS, Problem.NO_SUCH_COMPONENT, {"name": "scripts.net.Net"}),
        ({}, "$1 / 0", FAILS, "division by zero"),
        ({}, "$nobody + 1", FAILS, "name 'nobody' is not defined"),
        ({}, "%missing.json::x", Problem.NO_INCLUDED_FILE, {"file": "missing.json"}),
        ({}, "%network_def", Problem.ENTRIES_WITHOUT_END, {}),
        ({}, {**IN_SCRIPTS, "_mode_": "debug"}, Problem.MODE, {"mode": "debug"}),
    ],
)
def test_what_goes_wrong_in_trusted_code_is_one_sentence(
    files: dict[str, str], network: Any, kind: Problem, facts: Any, tmp_path: Path
) -> None:
    if network == {**IN_SCRIPTS, "_mode_": "debug"}:
        files = {"scripts/net.py": net()}
    with refused(BundleError, kind, **({} if kind is FAILS else facts)) as caught:
        load(write(tmp_path / "bundle", files, network))

    if kind is FAILS:
        assert facts in caught.value.facts["reason"]
    text = str(caught.value)
    assert "a_name" not in text
    assert str(tmp_path) not in text
    assert "napari_ifa_bundle" not in text


def test_trust_does_not_lift_what_reading_the_settings_may_cost(tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", {"scripts/net.py": net()})
    (folder / "configs" / "inference.json").unlink()
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    (folder / "configs" / "inference.yaml").write_text(
        "\n".join([*lines, "network_def: *a39", "preprocessing: 1"])
    )
    with refused(BundleError, Problem.TOO_MANY_ENTRIES):
        load(folder)
