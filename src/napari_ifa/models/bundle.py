"""A MONAI bundle becomes a Classifier, and none of the bundle's code is run."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.models.classifier import BundleSource, Classifier, OutputActivation
from napari_ifa.models.components import ComponentBuilder
from napari_ifa.models.layers import candidate_layers
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
from napari_ifa.models.repeated_keys import check_keys
from napari_ifa.models.weight_values import check_names, check_weights

if TYPE_CHECKING:
    import torch

#: Size of the probe along an axis whose size the metadata leaves open.
_PROBE_SIZE = 64


def load_classifier(
    bundle: str | Path,
    device: str | torch.device | None = None,
    layer: str | None = None,
    trust: bool = False,
) -> Classifier:
    """Read a MONAI bundle folder.

    Parameters
    ----------
    bundle : folder with ``configs/metadata.json``, ``configs/inference.json`` or ``.yaml`` and
        ``models/model.pt`` (a plain state dict).
    device : where the network runs; a CUDA GPU where there is one by default.
    layer : dotted name of the target layer; by default the one that probing recommends.
    trust : allow Python expressions and components off the allow-list, as MONAI itself does.

    Raises
    ------
    UntrustedModelError
        The configuration asks for something that could run code; what and where is named.
    BundleError
        Something is missing or does not fit; the message names it.
    """

    folder = Path(bundle).expanduser()
    if not folder.is_dir():
        raise BundleError(f"{folder.name or bundle}: not a folder; choose a MONAI bundle's folder.")
    config = _read_config(folder)
    metadata = _read_metadata(folder)
    network, preprocessing = _build(folder, config, trust)
    weights_sha256 = _load_weights(network, _inside(folder, "models/model.pt"))
    where = _on_device(network.eval(), device)
    names = _class_names(metadata)
    target_layer, outputs = _probe(network, metadata, where, layer)
    names = names or tuple(f"class {i}" for i in range(outputs))
    if outputs != len(names):
        raise BundleError(
            f"The network has {outputs} outputs but the metadata names {len(names)} classes;"
            " correct network_data_format.outputs.pred.channel_def."
        )
    return Classifier(
        network=network,
        class_names=names,
        target_layer=target_layer,
        preprocessing=preprocessing,
        device=where,
        name=str(metadata.get("name") or folder.name),
        output_activation=_output_activation(config, metadata, outputs),
        weights_sha256=weights_sha256,
        network_definition=_canonical(config.get("network_def")),
        preprocessing_definition=_canonical(config.get("preprocessing")),
        source=BundleSource(folder.resolve(), None if device is None else str(device), trust),
    )


def _inside(folder: Path, relative: str) -> Path:
    """A file of the bundle; a link that leads out of the folder is refused."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BundleError(
            f"The bundle's {relative} leads out of its folder; copy the file into it."
        )
    if not path.is_file():
        raise BundleError(f"The bundle has no {relative}; a MONAI bundle needs it.")
    return path


def _read_config(folder: Path) -> dict[str, Any]:
    names = [f"configs/inference.{suffix}" for suffix in ("json", "yaml", "yml")]
    found = [name for name in names if (folder / name).is_file()]
    config = _read_mapping(_inside(folder, found[0] if found else names[0]))
    for key in ("network_def", "preprocessing"):
        if key not in config:
            raise BundleError(f"The bundle's {Path(names[0]).stem} configuration has no '{key}'.")
    return config


def _read_metadata(folder: Path) -> dict[str, Any]:
    return _read_mapping(_inside(folder, "configs/metadata.json"))


def _read_mapping(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        check_keys(text, path.name)
    except (ValueError, yaml.YAMLError, RecursionError, OSError) as error:
        raise BundleError(
            f"The bundle's {path.name} cannot be read as {path.suffix[1:].upper()}; correct it."
        ) from error
    if not isinstance(content, dict):
        raise BundleError(f"The bundle's {path.name} holds no table of settings; correct it.")
    try:
        # A file may nest too deeply to be followed, or, in YAML, contain itself.
        json.dumps(content, default=str)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"The bundle's {path.name} nests too deeply or contains itself; correct it."
        ) from error
    return content


def _build(
    folder: Path, config: Mapping[str, Any], trust: bool
) -> tuple[torch.nn.Module, Preprocessing]:
    from torch import nn

    if trust:
        network, built = _build_trusted(folder, config)
    else:
        builder = ComponentBuilder(config, {"LoadImage": OpenedImage})
        network, built = builder.build("network_def"), builder.build("preprocessing")
    if not isinstance(network, nn.Module):
        raise BundleError("The bundle's 'network_def' does not describe a network.")
    return network, Preprocessing.from_built(built)


def _build_trusted(folder: Path, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """MONAI's own parser, which runs expressions and imports whatever is named."""
    import sys

    from monai.bundle import ConfigParser

    parser = ConfigParser(dict(config))
    parser["bundle_root"] = str(folder)
    sys.path.insert(0, str(folder))
    try:
        built = parser.get_parsed_content("preprocessing")
        network = parser.get_parsed_content("network_def")
    except Exception as error:
        raise BundleError(f"The trusted bundle cannot be built: {error}") from error
    finally:
        sys.path.remove(str(folder))
    return network, _with_opened_image(built)


def _with_opened_image(built: Any) -> Any:
    from monai.transforms import Compose, LoadImage, LoadImaged

    chain = (built if isinstance(built, Compose) else Compose(built)).flatten()
    steps = list(chain.transforms)
    for index, step in enumerate(steps):
        if isinstance(step, (LoadImage, LoadImaged)):
            loader = step if isinstance(step, LoadImage) else step._loader
            arguments = {"dtype": loader.dtype, "ensure_channel_first": loader.ensure_channel_first}
            if isinstance(step, LoadImaged):
                arguments["keys"] = list(step.keys)
            steps[index] = OpenedImage(arguments)
    return Compose(steps)


def _load_weights(network: torch.nn.Module, path: Path) -> str:
    """Load a plain state dict and return the file's SHA-256."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BundleError(
            f"The bundle's {path.name} is not a plain state dict (it may hold code or be damaged);"
            " save it with torch.save(network.state_dict(), path)."
        ) from error
    for key in ("state_dict", "model", "network"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise BundleError(f"The bundle's {path.name} holds no state dict; save one there.")
    check_names(content, path.name)
    state = {str(name).removeprefix("module."): value for name, value in content.items()}
    check_weights(state, network, path.name)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise BundleError(
            f"The weights in {path.name} do not fit the bundle's network_def;"
            " use the definition that the network was trained with."
        ) from error
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _on_device(network: torch.nn.Module, device: str | torch.device | None) -> torch.device:
    """Move the network and return where it is."""
    import torch

    try:
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if where.type == "meta":
            raise ValueError("a device without values")
        network.to(where)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BundleError(
            f"The device '{device}' cannot be used here; choose cpu, or a GPU that PyTorch sees."
        ) from error
    return where


def _pred_format(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    node: Any = metadata
    for key in ("network_data_format", "outputs", "pred"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _class_names(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    channels = _pred_format(metadata).get("channel_def")
    if isinstance(channels, list):
        return _told_apart([str(name) for name in channels])
    if not isinstance(channels, Mapping):
        return ()
    try:
        ordered = sorted(channels, key=int)
    except (TypeError, ValueError):
        ordered = []
    if [int(key) for key in ordered] != list(range(len(channels))):
        raise BundleError(
            "The metadata's channel_def must number the classes 0, 1, 2, … without a gap;"
            " correct configs/metadata.json."
        )
    return _told_apart([str(channels[key]) for key in ordered])


def _told_apart(names: list[str]) -> tuple[str, ...]:
    """The classes' names, with the number of its output behind one that several share."""
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names)
    )


def _output_activation(
    config: Mapping[str, Any], metadata: Mapping[str, Any], outputs: int
) -> OutputActivation:
    """From the bundle's postprocessing (read as data), else by the number of outputs."""
    if "regression" in str(metadata.get("task", "")).lower():
        return "none"
    text = _canonical(config.get("postprocessing")).lower()
    if '"sigmoid":true' in text:
        return "sigmoid"
    if '"softmax":true' in text:
        return "softmax"
    return "sigmoid" if outputs == 1 else "softmax"


def _probe(
    network: torch.nn.Module, metadata: Mapping[str, Any], device: torch.device, layer: str | None
) -> tuple[str, int]:
    """The target layer and the number of outputs, by forward passes of a probe."""
    import torch

    shape = _probe_shape(metadata)
    try:
        example = torch.zeros(shape, device=device)
        with torch.no_grad():
            output = network(example)
    except Exception as error:
        raise BundleError(
            f"The network does not run on an input of shape {tuple(shape)}; correct"
            " network_data_format.inputs in configs/metadata.json."
        ) from error
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    if isinstance(output, (list, tuple)):
        output = output[0] if output else None
    if not isinstance(output, torch.Tensor) or output.ndim == 0:
        raise BundleError("The network's output is no tensor of logits; only those are explained.")
    outputs = 1 if output.ndim == 1 else int(output.shape[1])
    candidates = candidate_layers(network, example)
    if layer is not None:
        names = [candidate.name for candidate in candidates]
        if layer not in names:
            near = ", ".join(difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or names[-3:])
            raise ExplanationError(
                f"The network has no spatial layer '{layer}'; near ones are {near}."
            )
        return layer, outputs
    recommended = [candidate.name for candidate in candidates if candidate.recommended]
    if not recommended:
        raise ExplanationError(
            "The network has no layer with a spatial output, so there is nothing to draw on an"
            " image; explain a network that keeps a grid of features."
        )
    return recommended[0], outputs


def _probe_shape(metadata: Mapping[str, Any]) -> list[int]:
    """``[1, C, *spatial]`` from the metadata; sizes it leaves open are filled in."""
    node: Any = metadata
    for key in ("network_data_format", "inputs", "image"):
        node = node.get(key) if isinstance(node, Mapping) else None
    node = node if isinstance(node, Mapping) else {}
    sizes = node.get("spatial_shape") or [_PROBE_SIZE] * 3
    channels = node.get("num_channels") or 1
    if not isinstance(sizes, list) or not isinstance(channels, int) or not 1 <= len(sizes) <= 3:
        raise BundleError(
            "The metadata's network_data_format.inputs.image must give num_channels as a number and"
            " spatial_shape as a list; correct configs/metadata.json."
        )
    fixed = [size if isinstance(size, int) and size > 0 else _PROBE_SIZE for size in sizes]
    return [1, channels, *fixed]


def _canonical(definition: Any) -> str:
    """A text that is equal for equal definitions, whatever their key order."""
    return json.dumps(definition, sort_keys=True, separators=(",", ":"), default=str)
