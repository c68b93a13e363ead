"""A MONAI bundle becomes a Classifier, and none of the bundle's code is run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.memory import lacks_memory, memory_said
from napari_ifa.models.answers import (
    BY_CHANCE,
    Observed,
    ToldActivation,
    activation_of,
    first_output,
    observed,
)
from napari_ifa.models.classifier import BundleSource, Classifier
from napari_ifa.models.components import ComponentBuilder, referred_entries
from napari_ifa.models.cost import NetworkBudget, affordable_pass, check_input
from napari_ifa.models.layers import CandidateLayer, candidate_layers
from napari_ifa.models.own_code import OwnCode
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
from napari_ifa.models.problems import BundleProblem, NetworkProblem
from napari_ifa.models.settings_file import canonical, data_format, read_settings
from napari_ifa.models.trusted import TrustedBuilder
from napari_ifa.models.weights import read_weights
from napari_ifa.plain import plain

#: Letters of the name of a class or a model.
_LONGEST_NAME = 200
#: Size of the probe along an axis whose size the metadata leaves open.
_PROBE_SIZE = 64


@memory_said(
    BundleError, "load this model", "close other programs, use device cpu or a smaller model"
)
def load_classifier(
    bundle: str | Path,
    device: str | torch.device | None = None,
    layer: str | None = None,
    trust: bool = False,
    *,
    output_activation: ToldActivation | None = None,
) -> Classifier:
    """Read a MONAI bundle folder.

    Parameters
    ----------
    bundle : folder with ``configs/metadata.json``, ``configs/inference.json`` or ``.yaml`` and
        ``models/model.pt`` (a plain state dict).
    device : where the network runs; a CUDA GPU where there is one by default.
    layer : dotted name of the target layer; by default the one that probing recommends.
    trust : run Python expressions, and components off the allow-list, which may be the bundle's own
        Python files. What loads without trust loads in the same way with it.
    output_activation : how outputs become probabilities where the bundle does not say it or is
        wrong: ``"softmax"`` for one of several classes, ``"sigmoid"`` for one class or several
        independent ones, ``"none"`` for a model that answers with values. By default what the
        bundle's postprocessing, its metadata or the network's own last activation tell; where
        none of them does, the model has no probabilities.

    Raises
    ------
    UntrustedModelError
        The configuration asks for something that could run code; what and where is named.
    BundleError
        Something is missing or does not fit; the message names it.
    """
    folder = existing_bundle(bundle)
    where = check_device(device)
    config = _read_config(folder)
    metadata = read_settings(_inside(folder, "configs/metadata.json"))
    weights = read_weights(_inside(folder, "models/model.pt"))
    code = OwnCode(folder) if trust else None
    network, preprocessing = _build(config, weights.budget, code)
    weights_sha256 = weights.load_into(network)
    del weights  # which holds the file, so that nobody could replace it
    network.eval().to(where)
    names = _class_names(metadata)
    target, outputs, seen = _probe(network, metadata, where, layer, trust)
    referred = referred_entries(config, ("network_def", "preprocessing"))
    names = names or tuple(f"class {i}" for i in range(outputs))
    if outputs != len(names):
        raise BundleError(BundleProblem.CLASSES_AND_OUTPUTS, outputs=outputs, classes=len(names))
    activation, notes = activation_of(config, metadata, outputs, seen.own, output_activation)
    return Classifier(
        network=network,
        class_names=names,
        target_layer=target.name,
        preprocessing=preprocessing,
        device=where,
        name=plain(str(metadata.get("name") or folder.name))[:_LONGEST_NAME],
        output_activation=activation,
        weights_sha256=weights_sha256,
        network_definition=canonical(config.get("network_def")),
        preprocessing_definition=canonical(config.get("preprocessing")),
        referred_definition=canonical(referred) if referred else "",
        code_sha256="" if code is None else code.sha256(),
        source=BundleSource(
            folder.resolve(), None if device is None else str(device), trust, output_activation
        ),
        features=target.channels,
        notes=(*notes, *([BY_CHANCE] if seen.by_chance else []), *preprocessing.notes),
        modality=str(data_format(metadata, "inputs", "image").get("modality") or ""),
    )


def existing_bundle(bundle: str | Path) -> Path:
    """A bundle's folder, without a look into it; BundleError where there is none."""
    folder = Path(bundle)
    try:
        folder = folder.expanduser()
        is_folder = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # what no folder can be called, or nobody's home
        is_folder = False
    if not is_folder:
        raise BundleError(BundleProblem.NOT_A_FOLDER, found=folder.name or bundle)
    return folder


def check_device(device: str | torch.device | None) -> torch.device:
    """The device, by default a GPU where there is one; BundleError, with those there are, if not.

    Asked before anything is read for it.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        where = torch.device(device)
        if where.type == "meta":
            raise ValueError("a device without values")
        torch.zeros(1, device=where)
    except (RuntimeError, AssertionError, ValueError, ImportError, TypeError) as error:
        if lacks_memory(error):
            raise
        there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise BundleError(
            BundleProblem.NO_SUCH_DEVICE, asked=str(device), devices=", ".join(there)
        ) from error
    return where


def _inside(folder: Path, relative: str) -> Path:
    """A file of the bundle; a link that leads out of the folder is refused."""
    try:
        path, home = (folder / relative).resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:
        raise BundleError(BundleProblem.LINK_IN_A_CIRCLE, file=relative) from error
    if not path.is_relative_to(home):
        raise BundleError(BundleProblem.OUTSIDE, file=relative)
    if not path.is_file():
        raise BundleError(BundleProblem.NO_FILE, file=relative)
    return path


def _read_config(folder: Path) -> dict[str, Any]:
    names = [f"configs/inference.{suffix}" for suffix in ("json", "yaml", "yml")]
    found = [name for name in names if (folder / name).is_file()]
    config = read_settings(_inside(folder, found[0] if found else names[0]))
    for key in ("network_def", "preprocessing"):
        if key not in config:
            raise BundleError(BundleProblem.NO_ENTRY, entry=key)
    return config


def _build(
    config: Mapping[str, Any], budget: NetworkBudget, code: OwnCode | None
) -> tuple[torch.nn.Module, Preprocessing]:
    """The network and its preprocessing; ``code`` is a trusted bundle's own."""
    replacements = {"LoadImage": OpenedImage}
    try:
        if code is None:
            safe = ComponentBuilder(config, replacements)
            with budget.held():
                network = safe.build("network_def")
            if isinstance(network, nn.Module):
                budget.check_paths(network)
            built = safe.build("preprocessing")
        else:
            whole = {**config, "bundle_root": str(code.folder)}
            trusted = TrustedBuilder(whole, replacements, code=code)
            network = trusted.build("network_def")
            built = _with_opened_image(trusted.build("preprocessing"))
    except RecursionError as error:
        raise BundleError(BundleProblem.ENTRIES_WITHOUT_END) from error
    if not isinstance(network, nn.Module):
        raise BundleError(BundleProblem.NO_NETWORK)
    return network, Preprocessing.from_built(built)


def _with_opened_image(built: Any) -> Any:
    """A chain whose loader was made by an expression, with the opened image in its place."""
    from monai.transforms import Compose, LoadImage, LoadImaged

    chain = (built if isinstance(built, Compose) else Compose(built)).flatten()
    loads = [isinstance(step, LoadImage | LoadImaged) for step in chain.transforms]
    pairs = zip(chain.transforms, loads, strict=True)
    steps = [OpenedImage.in_place_of(step) if loading else step for step, loading in pairs]
    return Compose(steps) if any(loads) else built


def _class_names(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    channels = data_format(metadata, "outputs", "pred").get("channel_def")
    if isinstance(channels, list):
        return _told_apart([str(name) for name in channels])
    if not isinstance(channels, Mapping):
        return ()
    try:
        ordered = sorted(channels, key=int)
    except (TypeError, ValueError):
        ordered = []
    if [int(key) for key in ordered] != list(range(len(channels))):
        raise BundleError(BundleProblem.CLASS_NUMBERS)
    return _told_apart([str(channels[key]) for key in ordered])


def _told_apart(names: list[str]) -> tuple[str, ...]:
    """The classes' names, with the number of its output behind one that several share.

    They stand in tables, on the screen and in names of files, so they are letters that are seen.
    """
    names = [" ".join(plain(name).split())[:_LONGEST_NAME] for name in names]
    names = [name or f"class {number}" for number, name in enumerate(names)]
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names)
    )


def _probe(
    network: torch.nn.Module,
    metadata: Mapping[str, Any],
    device: torch.device,
    layer: str | None,
    trust: bool,
) -> tuple[CandidateLayer, int, Observed]:
    """The target layer, the number of outputs, and what these are, by passes of a probe."""
    shape = _probe_shape(metadata)
    check_input(shape)
    try:
        example = torch.zeros(shape, device=device)
        with torch.no_grad():
            output = network(example) if trust else affordable_pass(network, example)
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(BundleProblem.INPUT_DOES_NOT_FIT, shape=tuple(shape)) from error
    output = first_output(output)
    if output is None or output.ndim == 0:
        raise BundleError(BundleProblem.OUTPUT_TYPE)
    outputs = 1 if output.ndim == 1 else int(output.shape[1])
    candidates = candidate_layers(network, example)
    if layer is not None:
        names = [candidate.name for candidate in candidates]
        if layer not in names:
            near = ", ".join(difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or names[-3:])
            raise ExplanationError(NetworkProblem.NO_SUCH_LAYER, asked=layer, near=near)
    chosen = next(one for one in candidates if one.name == layer or (not layer and one.recommended))
    # Zeros may pass by a dropout or an activation without a trace.
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0)).to(device)
    return chosen, outputs, observed(network, noise, chosen.name)


def _probe_shape(metadata: Mapping[str, Any]) -> list[int]:
    """``[1, C, *spatial]`` from the metadata; sizes it leaves open are filled in."""
    node = data_format(metadata, "inputs", "image")
    sizes = node.get("spatial_shape") or [_PROBE_SIZE] * 3
    channels = node.get("num_channels") or 1
    if not isinstance(sizes, list) or type(channels) is not int or not 1 <= len(sizes) <= 3:
        raise BundleError(BundleProblem.INPUT_SHAPE)
    fixed = [size if isinstance(size, int) and size > 0 else _PROBE_SIZE for size in sizes]
    return [1, channels, *fixed]
