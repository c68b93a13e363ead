"""Bundles that ask for more than any machine has, made up by chance from a seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import DenseNet

METADATA: dict[str, Any] = {
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [32, 32, 32]}},
        "outputs": {"pred": {"channel_def": {"0": "healthy", "1": "lesion"}}},
    }
}
#: Networks of MONAI and torch with arguments that fit, of which one at a time is made impossible.
NETWORKS: list[dict[str, Any]] = [
    {
        "_target_": "DenseNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "init_features": 4,
        "growth_rate": 4,
        "block_config": [1, 1],
        "bn_size": 2,
        "dropout_prob": 0.0,
    },
    {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
        "kernel_size": 3,
        "num_res_units": 1,
    },
    {
        "_target_": "SegResNet",
        "spatial_dims": 3,
        "init_filters": 8,
        "in_channels": 1,
        "out_channels": 2,
        "blocks_down": [1, 1],
        "blocks_up": [1],
    },
    {
        "_target_": "ViT",
        "in_channels": 1,
        "img_size": [32, 32, 32],
        "patch_size": [16, 16, 16],
        "hidden_size": 12,
        "mlp_dim": 24,
        "num_layers": 1,
        "num_heads": 2,
        "num_classes": 2,
        "spatial_dims": 3,
    },
    {
        "_target_": "SwinUNETR",
        "in_channels": 1,
        "out_channels": 2,
        "patch_size": 2,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "window_size": 4,
        "feature_size": 12,
        "spatial_dims": 3,
        "mlp_ratio": 4.0,
    },
    {
        "_target_": "ResNet",
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "block_inplanes": [4, 4, 8, 8],
        "spatial_dims": 3,
        "n_input_channels": 1,
        "conv1_t_size": 7,
        "conv1_t_stride": 1,
        "widen_factor": 1.0,
        "num_classes": 2,
    },
    {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
        "deep_supr_num": 1,
    },
    {
        "_target_": "VNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
    },
    {
        "_target_": "HighResNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "layer_params": [
            {"name": "conv_0", "n_features": 4, "kernel_size": 3},
            {"name": "res_1", "n_features": 4, "kernels": [3, 3], "repeat": 1},
            {"name": "conv_1", "n_features": 4, "kernel_size": 1},
            {"name": "conv_2", "kernel_size": 1},
        ],
    },
    {
        "_target_": "EfficientNet",
        "blocks_args_str": ["r1_k3_s11_e1_i8_o8_se0.25"],
        "spatial_dims": 3,
        "in_channels": 1,
        "num_classes": 2,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "image_size": 32,
    },
    {
        "_target_": "SENet",
        "spatial_dims": 3,
        "in_channels": 1,
        "block": "se_bottleneck",
        "layers": [1, 1, 1, 1],
        "groups": 1,
        "reduction": 4,
        "inplanes": 4,
        "num_classes": 2,
    },
    {
        "_target_": "FullyConnectedNet",
        "in_channels": 8,
        "out_channels": 2,
        "hidden_channels": [4, 4],
    },
    {
        "_target_": "torch.nn.TransformerEncoder",
        "num_layers": 1,
        "encoder_layer": {
            "_target_": "torch.nn.TransformerEncoderLayer",
            "d_model": 4,
            "nhead": 2,
            "dim_feedforward": 8,
        },
    },
    {"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 2},
    {"_target_": "torch.nn.LSTM", "input_size": 4, "hidden_size": 4, "num_layers": 1},
]
TRANSFORMS: list[dict[str, Any]] = [
    {"_target_": "Resized", "spatial_size": [32, 32, 32]},
    {"_target_": "SpatialPadd", "spatial_size": [32, 32, 32]},
    {"_target_": "ResizeWithPadOrCropd", "spatial_size": [32, 32, 32]},
    {"_target_": "BorderPadd", "spatial_border": 1},
    {"_target_": "DivisiblePadd", "k": 16},
    {"_target_": "RepeatChanneld", "repeats": 1},
    {"_target_": "HistogramNormalized", "num_bins": 256},
    {"_target_": "RandSpatialCropSamplesd", "roi_size": [8, 8, 8], "num_samples": 2},
]
NUMBERS = [0, -1, 10**5, 10**7, 10**9, 10**12, 10**18, -(10**9), 1e300, float("nan"), float("inf")]


def hostile_bundles(
    folder: Path, seed: int, count: int, first: int = 0
) -> Iterator[tuple[str, Path]]:
    """What is wrong with each in a few words, and the folder that it lies in.

    ``first`` is the number of the kind to begin with.
    """
    dice = random.Random(seed)
    for number in range(first, first + count):
        kind = KINDS[number % len(KINDS)]
        place = folder / f"{number}"
        (place / "configs").mkdir(parents=True)
        (place / "models").mkdir()
        name, config, metadata = kind(dice)
        text, suffix = config if isinstance(config, tuple) else (json.dumps(config), "json")
        (place / "configs" / f"inference.{suffix}").write_text(text)
        (place / "configs" / "metadata.json").write_text(json.dumps(metadata))
        # Where the network itself is as it should be, so are its weights.
        state = _SOUND if '"network_def": ' + json.dumps(NETWORKS[0]) in text else _others(dice)
        torch.save(state, place / "models" / "model.pt")
        yield f"{number} {name}", place


Made = tuple[str, Any, Any]
_SOUND = DenseNet(**{k: v for k, v in NETWORKS[0].items() if k != "_target_"}).state_dict()


def _others(dice: random.Random) -> dict[str, torch.Tensor]:
    return {f"layer.{i}.weight": torch.zeros(4, 4) for i in range(dice.choice([1, 30, 300]))}


def _of(network: Any = None, transform: Any = None, **entries: Any) -> dict[str, Any]:
    steps: list[Any] = [{"_target_": "LoadImaged", "keys": "image"}]
    if transform is not None:
        steps.append({"keys": "image", **transform})
    return {
        "network_def": network or NETWORKS[0],
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        **entries,
    }


def _number(dice: random.Random) -> Made:
    """One number in the arguments of a network is as none should be."""
    network = copy.deepcopy(dice.choice(NETWORKS))
    value = dice.choice(NUMBERS)
    holder, key = dice.choice(list(_numbers_in(network)))
    holder[key] = value
    return f"{network['_target_']}.{key} = {value}", _of(network), METADATA


def _numbers_in(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, int | float):
            yield node, key
        elif isinstance(value, dict | list):
            yield from _numbers_in(value)


def _list(dice: random.Random) -> Made:
    """A long list where a network takes a list, or a list where it takes a number."""
    network = copy.deepcopy(dice.choice(NETWORKS))
    lists = [key for key, value in network.items() if isinstance(value, list)]
    key = dice.choice(lists or [key for key in network if key != "_target_"])
    length = dice.choice([100, 3000, 30_000])
    network[key] = [dice.choice([1, 2, 64])] * length
    return f"{network['_target_']}.{key} of {length}", _of(network), METADATA


def _repeat(dice: random.Random) -> Made:
    count = 10 ** dice.randint(4, 15)
    network = copy.deepcopy(next(n for n in NETWORKS if n["_target_"] == "EfficientNet"))
    network["blocks_args_str"] = [f"r{count}_k3_s11_e1_i8_o8_se0.25"]
    return f"{count} blocks by a text", _of(network), METADATA


def _string(dice: random.Random) -> Made:
    length = dice.choice([10**5, 10**6, 10**7])
    network = {
        **NETWORKS[0],
        dice.choice(["act", "norm", "_target_", "out_channels"]): "x" * length,
    }
    return f"text of {length}", _of(network), METADATA


def _anchors(dice: random.Random) -> Made:
    width, levels = dice.randint(2, 30), dice.randint(6, 40)
    merged = dice.random() < 0.4
    lines = ["a0: &a0 {x: 1, y: 2}" if merged else "a0: &a0 [x, x]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{inner}]}}" if merged else f"[{inner}]"))
    lines += [f"network_def: *a{levels - 1}", f"preprocessing: *a{levels - 1}"]
    return f"{width}^{levels} by anchors", ("\n".join(lines), "yaml"), METADATA


def _nesting(dice: random.Random) -> Made:
    depth = dice.choice([50, 90, 200, 900, 5000, 100_000])
    opening, closing = dice.choice([("[", "]"), ('{"a":', "}")])
    text = f'{{"network_def": {opening * depth}1{closing * depth}, "preprocessing": 1}}'
    return f"nested {depth} deep", (text, dice.choice(["json", "yaml"])), METADATA


def _references(dice: random.Random) -> Made:
    """Lists of references to lists of references, given to a network or as a chain."""
    width, levels = dice.randint(2, 12), dice.randint(6, 30)
    entries: dict[str, Any] = {"r0": [1, 2]}
    for level in range(1, levels):
        entries[f"r{level}"] = [f"@r{level - 1}"] * width
    key = dice.choice(["block_config", "act", "norm", "out_channels"])
    config = _of({**NETWORKS[0], key: f"@r{levels - 1}"}, **entries)
    if dice.random() < 0.3:
        config["preprocessing"] = f"@r{levels - 1}"
    return f"{width}^{levels} by references", config, METADATA


def _chains(dice: random.Random) -> Made:
    """Chains of chains of transforms, and parts of parts of networks, by references."""
    width, levels = dice.randint(2, 12), dice.randint(8, 30)
    entries: dict[str, Any] = {}
    if dice.random() < 0.5:
        entries["c0"] = {"_target_": "ScaleIntensityd", "keys": "image"}
        for level in range(1, levels):
            inner = [f"@c{level - 1}"] * width
            entries[f"c{level}"] = {"_target_": "Compose", "transforms": inner}
        config = _of(**entries)
        config["preprocessing"]["transforms"].append(f"@c{levels - 1}")
    else:
        entries["c0"] = {"_target_": "torch.nn.Identity"}
        for level in range(1, levels):
            inner = [f"@c{level - 1}"] * width
            entries[f"c{level}"] = {"_target_": "torch.nn.ModuleList", "modules": inner}
        config = _of(f"@c{levels - 1}", **entries)
    return f"{width}^{levels} by chains", config, METADATA


def _circle(dice: random.Random) -> Made:
    length = dice.choice([1, 2, 50, 3000])
    entries = {f"e{i}": f"@e{(i + 1) % length}" for i in range(length)}
    if dice.random() < 0.5:
        entries[f"e{length - 1}"] = "value"
    return f"{length} references in a row", _of("@e0", **entries), METADATA


def _input(dice: random.Random) -> Made:
    metadata = copy.deepcopy(METADATA)
    image = metadata["network_data_format"]["inputs"]["image"]
    size = dice.choice([2000, 10**5, 10**9, 10**18, 10**30, 1e300])
    axes = [dice.choice([[size], [size, size], [size] * 3, [1, 1, size], [size] * 10**4])]
    image["spatial_shape"] = axes[0]
    if dice.random() < 0.4:
        image["num_channels"] = dice.choice([0, -1, 10**9, 10**18, True, "many", 1.5, float("nan")])
    return f"input {str(axes)[:30]}", _of(), metadata


def _transform(dice: random.Random) -> Made:
    transform = copy.deepcopy(dice.choice(TRANSFORMS))
    value = dice.choice(NUMBERS)
    key = dice.choice([key for key in transform if key != "_target_"])
    transform[key] = dice.choice([value, [value] * 3, [value] * 10_000])
    return f"{transform['_target_']}.{key} = {value}", _of(transform=transform), METADATA


def _metadata(dice: random.Random) -> Made:
    length = dice.choice([10**4, 10**5, 10**6])
    metadata = copy.deepcopy(METADATA)
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = dice.choice(
        [["x"] * length, {str(i): "x" for i in range(length)}, "x" * length]
    )
    return f"{length} class names", _of(), metadata


#: Numbers in networks come most often: there are most of them.
KINDS: list[Callable[[random.Random], Made]] = [
    *(_number, _anchors, _number, _references, _number, _transform, _number, _input),
    *(_list, _chains, _nesting, _string, _circle, _metadata, _repeat, _number),
]
