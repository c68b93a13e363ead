"""Bundles that try to run code, to read beside their folder, or whose weights are none."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.hostile.texts import name, text

#: Whoever runs what a bundle asks for leaves a file of this name where it was told to.
CANARY = "code_was_run"


class _Runs:
    """What a pickle asks to call."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self._canary}'",)


def write_trick(folder: Path, sound: Path, canary: Path, dice: random.Random) -> str:
    """A copy of the sound bundle with one thing changed; says which in a few words."""
    shutil.copytree(sound, folder)
    return dice.choice(TRICKS)(folder, canary, dice)


def _config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "configs" / "inference.json").read_text("utf-8"))
    return content


def _write(folder: Path, config: Any, file: str = "inference.json") -> None:
    (folder / "configs" / file).write_text(json.dumps(config), "utf-8")


def _target(folder: Path, canary: Path, dice: random.Random) -> str:
    target = dice.choice(
        [
            *("os.system", "builtins.eval", "builtins.exec", "subprocess.Popen", "posix.system"),
            *("monai.networks.nets.torch.hub.os.system", "torch.hub.load", "torch.load"),
            *("monai.bundle.load", "monai.bundle.run", "torch.utils.cpp_extension.load_inline"),
            *("torch.jit.load", "pickle.loads", "shutil.rmtree", "pathlib.Path", "open", "eval"),
            *("numpy.load", "monai.utils.optional_import", "torch.nn.Module.register_forward_hook"),
            *(
                "torchvision.models.get_model",
                "torch.nn.utils.parametrize.register_parametrization",
            ),
            *("", " ", ".", "a.b", "..", "monai..networks", "__main__.main", 7, None, [], {}),
        ]
    )
    call = {"_target_": target, dice.choice(["command", "args", "path"]): f"touch '{canary}'"}
    config = _config(folder)
    where = dice.choice(["network_def", "act", "chain", "beside", "keys"])
    if where == "network_def":
        config["network_def"] = call
    elif where == "act":
        config["network_def"]["act"] = call
    elif where == "chain":
        config["preprocessing"]["transforms"].insert(dice.randrange(4), call)
    elif where == "keys":
        config["preprocessing"]["transforms"][0]["keys"] = call
    else:
        config["evil"] = call
        config["network_def"]["norm"] = "@evil"
    _write(folder, config)
    return f"{target} as {where}"


def _expression(folder: Path, canary: Path, dice: random.Random) -> str:
    touch = f"__import__('os').system('touch {canary}')"
    config = _config(folder)
    form = dice.choice(["expression", "imports", "lambda", "macro", "mode", "disabled", "key"])
    if form == "expression":
        config["network_def"]["init_features"] = f"${touch}"
    elif form == "imports":
        config["imports"] = ["$import os", f"${touch}"]
        config["network_def"]["in_channels"] = "@imports"
    elif form == "lambda":
        step = {"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: {touch}"}
        config["preprocessing"]["transforms"].append(step)
    elif form == "macro":
        config["network_def"]["norm"] = dice.choice(["%/etc/passwd::a", "%../../x.json::y", "%"])
    elif form == "mode":
        config["network_def"]["_mode_"] = dice.choice(["debug", "callable", 3, None])
    elif form == "disabled":
        config["network_def"]["_disabled_"] = dice.choice([f"${touch}", True, "@x", 1])
    else:
        config["network_def"][dice.choice(["__class__", "forward", "_requires_", "_code_"])] = touch
    _write(folder, config)
    return form


def _pickled(folder: Path, canary: Path, dice: random.Random) -> str:
    model = folder / "models" / "model.pt"
    form = dice.choice(["pickle", "saved", "inside", "script"])
    if form == "pickle":
        model.write_bytes(pickle.dumps(_Runs(canary)))
    elif form == "saved":
        torch.save(_Runs(canary), model)
    elif form == "inside":
        torch.save({"a": torch.zeros(2), "b": _Runs(canary)}, model)
    else:
        torch.jit.script(torch.nn.Linear(1, 1)).save(str(model))
    return f"weights that are a {form}"


def _outside(folder: Path, canary: Path, dice: random.Random) -> str:
    file = dice.choice(["configs/inference.json", "configs/metadata.json", "models/model.pt"])
    place = folder / file
    form = dice.choice(["link out", "loop", "pipe", "folder", "zero", "gone", "loops above"])
    place.unlink()
    if form == "link out":
        place.symlink_to(dice.choice(["/etc/passwd", "/dev/zero", "/proc/self/mem", "../../x"]))
    elif form == "loop":
        place.symlink_to(place)
    elif form == "pipe":
        os.mkfifo(place)
    elif form == "folder":
        place.mkdir()
    elif form == "zero":
        place.write_bytes(b"")
    elif form == "loops above":
        shutil.rmtree(place.parent)
        place.parent.symlink_to(place.parent)
    return f"{file}: {form}"


def _weights(folder: Path, canary: Path, dice: random.Random) -> str:
    model = folder / "models" / "model.pt"
    state = torch.load(model, weights_only=True)
    key = dice.choice(list(state))
    form = dice.choice(list(_WEIGHTS))
    changed = _WEIGHTS[form](state, key, dice)
    torch.save(changed, model)
    return f"weights: {form}"


def _replaced(state: dict[Any, Any], key: str, value: Any) -> dict[Any, Any]:
    return {**state, key: value}


_WEIGHTS: dict[str, Callable[[dict[Any, Any], str, random.Random], Any]] = {
    "not a number": lambda s, k, d: _replaced(s, k, torch.full_like(s[k].float(), float("nan"))),
    "infinite": lambda s, k, d: _replaced(s, k, torch.full_like(s[k].float(), float("inf"))),
    "of another type": lambda s, k, d: _replaced(
        s, k, s[k].to(d.choice([torch.complex64, torch.bool, torch.int8, torch.float64]))
    ),
    "of another shape": lambda s, k, d: _replaced(s, k, torch.zeros(d.choice([0, 1, 7]))),
    "claimed by strides": lambda s, k, d: _replaced(s, k, torch.zeros(1).expand(10**9)),
    "sparse": lambda s, k, d: _replaced(
        s, k, torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (10**12,))
    ),
    "on no device": lambda s, k, d: _replaced(s, k, torch.zeros(10**9, device="meta")),
    "a number": lambda s, k, d: _replaced(s, k, d.choice([1, None, "text", [1], {}])),
    "by numbers": lambda s, k, d: dict(enumerate(s.values())),
    "with words of harm": lambda s, k, d: _replaced(s, text(d), torch.zeros(2)),
    "a list": lambda s, k, d: list(s.values()),
    "none": lambda s, k, d: {},
    "one missing": lambda s, k, d: {n: v for n, v in s.items() if n != k},
    "nested": lambda s, k, d: {"state_dict": {"model": {"network": s}}},
    "many": lambda s, k, d: {
        **s,
        **{f"x{i}": torch.zeros(1) for i in range(d.choice([9_000, 20_000]))},
    },
}


def _packed(folder: Path, canary: Path, dice: random.Random) -> str:
    """The file of weights itself is damaged, cut or packed again."""
    model = folder / "models" / "model.pt"
    content = bytearray(model.read_bytes())
    form = dice.choice(["cut", "noise", "bomb", "deflated", "names"])
    if form == "cut":
        content = content[: dice.randrange(len(content))]
    elif form == "noise":
        for _ in range(dice.choice([1, 20, 400])):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    else:
        with zipfile.ZipFile(model) as source:
            entries = [(entry.filename, source.read(entry)) for entry in source.infolist()]
        with zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as packed:
            for entry, data in entries:
                if form == "bomb" and dice.random() < 0.2:
                    data = bytes(200_000_000)
                packed.writestr("../" * 3 + entry if form == "names" else entry, data)
        return f"weights packed: {form}"
    model.write_bytes(bytes(content))
    return f"weights packed: {form}"


def _types(folder: Path, canary: Path, dice: random.Random) -> str:
    """A value of another type than expected, anywhere in one of the two settings."""
    file = dice.choice(["inference.json", "metadata.json"])
    content = json.loads((folder / "configs" / file).read_text("utf-8"))
    places = list(_places(content))
    holder, key = dice.choice(places)
    value = dice.choice([None, True, -1, 1.5, 10**20, "", text(dice), [], {}, [[]], [None], "@a"])
    holder[key] = value
    _write(folder, content, file)
    return f"{file} {key}: {value!r}"[:80]


def _places(node: Any) -> Any:
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _names(folder: Path, canary: Path, dice: random.Random) -> str:
    """Names of classes and of the model, as they may not stand on a terminal."""
    metadata = json.loads((folder / "configs" / "metadata.json").read_text("utf-8"))
    pred = metadata["network_data_format"]["outputs"]["pred"]
    pred["channel_def"] = {str(i): text(dice) for i in range(len(pred["channel_def"]))}
    metadata["name"] = text(dice)
    _write(folder, metadata, "metadata.json")
    return "names of classes"


def _raw(folder: Path, canary: Path, dice: random.Random) -> str:
    """Settings that are no text, or text cut anywhere."""
    file = folder / "configs" / dice.choice(["inference.json", "metadata.json"])
    content = file.read_bytes()
    form = dice.choice(["cut", "utf-16", "bom", "bytes", "nul", "repeated", "digits"])
    changed = {
        "cut": content[: dice.randrange(len(content))],
        "utf-16": content.decode().encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + content,
        "bytes": dice.randbytes(500),
        "nul": bytes(2000),
        "repeated": b'{"network_def": 1, "network_def": 2, "preprocessing": 1}',
        "digits": b'{"network_def": ' + b"9" * 100_000 + b', "preprocessing": 1}',
    }[form]
    file.write_bytes(changed)
    return f"{file.name}: {form}"


def _called(folder: Path, canary: Path, dice: random.Random) -> str:
    """A sound bundle in a folder whose name does harm: the caller moves it there."""
    config = _config(folder)
    config[name(dice)] = text(dice)
    config["network_def"][text(dice)] = text(dice)
    _write(folder, config)
    return "words of harm as keys"


TRICKS: list[Callable[[Path, Path, random.Random], str]] = [
    *(_target, _target, _expression, _expression, _pickled, _outside, _weights, _weights),
    *(_packed, _types, _types, _names, _names, _raw, _called),
]
