"""Analyses that are damaged, or hold what no analysis can."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hostile.texts import text

NUMBERS = [float("nan"), float("inf"), -float("inf"), -1, -1e300, 1e300, 2, 0, 10**15]


def write_analysis(path: Path, sound: bytes, dice: random.Random) -> str:
    """A sound analysis with something changed; says what in a few words."""
    kind = dice.choice([*BYTES, *CONTENTS, *CONTENTS])
    if kind in BYTES:
        path.write_bytes(kind(bytearray(sound), dice))
        return kind.__name__.strip("_")
    path.write_bytes(sound)
    with h5py.File(path, "a") as file:
        return f"{kind.__name__.strip('_')} {kind(file, dice)}"


def flipped(content: bytearray, dice: random.Random) -> bytes:
    """A few bits are others."""
    for _ in range(dice.choice([1, 5, 50])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def overwritten(content: bytearray, dice: random.Random) -> bytes:
    """Bytes in a row are others."""
    start, length = dice.randrange(len(content)), dice.choice([1, 8, 64, 1000])
    stop = min(len(content), start + length)
    content[start:stop] = bytes(
        dice.choice([0, 255, dice.randrange(256)]) for _ in range(start, stop)
    )
    return bytes(content)


def cut(content: bytearray, dice: random.Random) -> bytes:
    """The end is missing."""
    return bytes(content[: dice.randrange(len(content))])


def moved(content: bytearray, dice: random.Random) -> bytes:
    """Some bytes are missing, and all after them stand elsewhere."""
    start = dice.randrange(len(content))
    return bytes(content[:start] + content[start + dice.choice([1, 8, 512]) :])


def other(content: bytearray, dice: random.Random) -> bytes:
    """Another kind of file."""
    return dice.choice([b"", b"text", b"CDF\x01" + b"\0" * 60, bytes(4000), dice.randbytes(4000)])


BYTES: list[Callable[[bytearray, random.Random], bytes]] = [flipped, overwritten, cut, moved, other]


def _datasets(file: Any) -> list[str]:
    return sorted(name for name, entry in file.items() if isinstance(entry, h5py.Dataset))


def _targets(file: Any, dice: random.Random) -> str:
    """What the classes are compared with is of another name, twice there, or counted wrongly."""
    kind = dice.choice(["renamed", "twice", "turned", "moved"])
    names = file["compared_with"]
    if kind == "renamed":
        said = dice.choice(["class 99", "class -1", "logit", "..", "class x", text(dice) or "x"])
        said = said.replace("\0", "").encode("utf-8", "replace").decode()
        names[dice.randrange(len(names))] = said
    elif kind == "twice":
        names[...] = np.array([names[0]] * len(names), object)
    elif kind == "turned":
        names[...] = names[()][::-1]
    else:
        bins = file["fine_bins"][()]
        by = dice.choice([1, -1, 10**9, 2**62])
        bins.flat[0] += by
        bins.flat[-1] -= by
        file["fine_bins"][...] = bins
    return kind


def _value(file: Any, dice: random.Random) -> str:
    """One number is as it cannot be."""
    numeric = [n for n in _datasets(file) if file[n].dtype.kind in "fiu" and file[n].size]
    name = dice.choice(numeric)
    values = file[name][()]
    flat = np.atleast_1d(values).reshape(-1).copy()
    value = dice.choice(NUMBERS)
    if flat.dtype.kind in "iu" and not np.isfinite(value):
        value = -1
    where = slice(None) if dice.random() < 0.4 else dice.randrange(flat.size)
    with np.errstate(all="ignore"):
        flat[where] = np.array(value).astype(flat.dtype)
    file[name][...] = flat.reshape(np.shape(values))
    return f"{name} {value}"


def _other_data(file: Any, dice: random.Random) -> str:
    """A variable of another type or shape."""
    name = dice.choice(_datasets(file))
    attributes = dict(file[name].attrs)
    shape = file[name].shape
    del file[name]
    kind = dice.choice(["text", "flat", "larger", "huge", "empty", "complex", "reference", "bomb"])
    if kind == "text":
        words = text(dice).replace("\0", "").encode("utf-8", "replace").decode()
        file.create_dataset(name, data=np.full(shape, words, object), dtype=h5py.string_dtype())
    elif kind == "flat":
        file[name] = np.zeros(3)
    elif kind == "larger":
        file[name] = np.zeros(tuple(n + 1 for n in shape))
    elif kind == "huge":
        file.create_dataset(name, shape=(10**9, 10**6), dtype="f8", chunks=(1000, 100))
    elif kind == "empty":
        file.create_dataset(name, data=h5py.Empty("f8"))
    elif kind == "complex":
        file[name] = np.zeros(shape, np.complex128)
    elif kind == "reference":
        file.create_dataset(
            name, data=np.full(shape, file.ref, h5py.ref_dtype), dtype=h5py.ref_dtype
        )
    else:
        size = 40_000_000
        file.create_dataset(name, data=np.zeros(size), chunks=(10**6,), compression="gzip")
    for key in ("units", "long_name"):
        if key in attributes and dice.random() < 0.5:
            file[name].attrs[key] = attributes[key]
    return f"{name} {kind}"


def _gone(file: Any, dice: random.Random) -> str:
    name = dice.choice(_datasets(file))
    del file[name]
    return name


def _linked(file: Any, dice: random.Random) -> str:
    """A link in place of a variable."""
    name = dice.choice(_datasets(file))
    kind = dice.choice(["loop", "outside", "device", "root", "again"])
    again = file[dice.choice(_datasets(file))]
    del file[name]
    if kind == "loop":
        file[name] = h5py.SoftLink(f"/{name}")
    elif kind == "outside":
        file[name] = h5py.ExternalLink("cohort/outside.nc", "/importance_all")
    elif kind == "device":
        file[name] = h5py.ExternalLink("/dev/zero", "/")
    elif kind == "root":
        file[name] = file["/"]
    else:
        file[name] = again
    return f"{name} {kind}"


def _stored_outside(file: Any, dice: random.Random) -> str:
    """A variable whose numbers are said to lie in another file."""
    name = dice.choice(_datasets(file))
    del file[name]
    other = dice.choice(["/etc/passwd", "/dev/zero", "../secret"])
    file.create_dataset(name, shape=(16,), dtype="u1", external=[(other, 0, 16)])
    return f"{name} in {os.path.basename(other)}"


def _attribute(file: Any, dice: random.Random) -> str:
    """An attribute of another type."""
    owner = file if dice.random() < 0.6 else file[dice.choice(_datasets(file))]
    names = [n for n in owner.attrs if n not in ("REFERENCE_LIST", "DIMENSION_LIST")]
    if not names:
        return ""
    name = dice.choice(sorted(names))
    value = dice.choice(
        [
            7,
            -1,
            float("nan"),
            np.zeros(3),
            "",
            text(dice).replace("\0", ""),
            "9" * 5000,
            h5py.Empty("i"),
        ]
    )
    try:
        owner.attrs[name] = value
    except (UnicodeError, OSError, RuntimeError):
        owner.attrs[name] = 3
    return name


def _text(file: Any, dice: random.Random) -> str:
    """Names of classes and cases that do harm where they are shown, or are equal."""
    name = dice.choice(["class", "case", "compared_with"])
    said = text(dice).replace("\0", "").encode("utf-8", "replace").decode()
    same = dice.random() < 0.4
    values = [said if same else f"{said} {n}" for n in range(file[name].shape[0])]
    file[name][...] = np.array(values, object)
    return name


def _more(file: Any, dice: random.Random) -> str:
    """What nobody asked for."""
    kind = dice.choice(["deep", "many", "huge", "type"])
    if kind == "deep":
        group = file
        for _ in range(300):
            group = group.create_group("g")
    elif kind == "many":
        for n in range(2000):
            file[f"x{n}"] = n
    elif kind == "huge":
        file.create_dataset("more", shape=(10**6, 10**6), dtype="f8", chunks=(1000, 1000))
    else:
        file["named"] = np.dtype("f8")
    return kind


CONTENTS: list[Callable[[Any, random.Random], str]] = [
    *(_value, _value, _value, _other_data, _other_data, _gone, _linked, _stored_outside),
    *(_attribute, _attribute, _text, _text, _more, _targets, _targets),
]
