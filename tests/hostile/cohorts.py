"""Lists of cases that are damaged, or name what they should not."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.hostile.analyses import cut, flipped
from tests.hostile.texts import name, text

if TYPE_CHECKING:
    from tests.hostile.sound import Sound


def write_cohort(folder: Path, sound: Sound, dice: random.Random) -> tuple[Path, str]:
    """A list in ``folder``, beside its images, and what is wrong with it in a few words."""
    shutil.copytree(sound.cohort.parent / "images", folder / "images")
    kind = dice.choice(KINDS)
    path = kind(folder, dice)
    return path, kind.__name__.strip("_")


def _entries(count: int = 4) -> list[dict[str, Any]]:
    return [{"image": f"images/{n}.nii.gz", "label": n % 3} for n in range(count)]


def _values(folder: Path, dice: random.Random) -> Path:
    """A datalist in which values are others."""
    entries = _entries()
    for _ in range(dice.choice([1, 1, 4])):
        entry = dice.choice(entries)
        value = dice.choice(
            [None, -1, 99, 1.5, float("nan"), True, [], {}, [1, 2], text(dice), "../../x",
             "/dev/zero",             "images", "loop", "pipe", 10**30, "images/0.nii.gz"]
        )  # fmt: skip
        entry[dice.choice(["image", "label", "id", "mask", "patient"])] = value
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    return _json(folder, {"name": text(dice), dice.choice(["training", text(dice)]): entries})


def _json(folder: Path, content: Any) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def _named(folder: Path, dice: random.Random) -> Path:
    """Cases whose names do harm where they are shown, and images that cannot be opened."""
    entries = _entries()
    for number, entry in enumerate(entries):
        entry["id"] = f"{text(dice)}{number if dice.random() < 0.8 else ''}"
    if dice.random() < 0.5:
        called = folder / "images" / (name(dice) + ".nii.gz")
        called.write_bytes(b"damaged")
        entries.append({"image": str(called.relative_to(folder)), "label": 1})
    return _json(folder, {"training": entries})


def _shape(folder: Path, dice: random.Random) -> Path:
    """JSON of another shape."""
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    return _json(
        folder,
        dice.choice([[], {}, 7, None, "x", {"training": {}}, {"training": [1]}, deep,
                     [[_entries()]],
                     {"training": [{}] * 50_000}, {"training": []}, {text(dice): 3}]),
    )  # fmt: skip


def _damaged(folder: Path, dice: random.Random) -> Path:
    path = _json(folder, {"training": _entries()})
    path.write_bytes(dice.choice([cut, flipped])(bytearray(path.read_bytes()), dice))
    return path


def _table(folder: Path, dice: random.Random) -> Path:
    """A CSV table: encodings, headers, quotation marks, widths."""
    delimiter = dice.choice(",;\t")
    header = dice.choice(
        [["image", "label"], ["image", "image"], ["Path", "class", "id", "split"], [], ["x"],
         ["image", "label", "label"], [text(dice), "image"], ["image", "label", "patient"]]
    )  # fmt: skip
    rows = [
        [f"images/{n}.nii.gz", str(n % 3), f"case {n}", "test"][: len(header)] for n in range(4)
    ]
    if rows and rows[0] and dice.random() < 0.5:
        rows[dice.randrange(4)][-1] = text(dice)
    if dice.random() < 0.2:
        rows.append(['"open'])
    lines = "\n".join(delimiter.join(row) for row in [header, *rows])
    encoding = dice.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-8", "utf-32"])
    path = folder / "list.csv"
    path.write_bytes(lines.encode(encoding, "replace"))
    return path


def _folders(folder: Path, dice: random.Random) -> Path:
    """Folders for classes, with links into themselves and names that do harm."""
    place = folder / "classes"
    for number in range(dice.choice([0, 1, 3])):
        below = place / f"{number}{name(dice)}"
        below.mkdir(parents=True)
        shutil.copy(folder / "images" / f"{number}.nii.gz", below / (name(dice) + ".nii.gz"))
        if dice.random() < 0.4:
            (below / "again").symlink_to(place)
        if dice.random() < 0.3:
            os.mkfifo(below / "pipe.nii")
    place.mkdir(exist_ok=True)
    if dice.random() < 0.2:
        (place / "loop").symlink_to(place / "loop")
    return place


def _arrays(folder: Path, dice: random.Random) -> Path:
    """Arrays in one file."""
    path = folder / dice.choice(["list.npz", "train-images-idx3-ubyte"])
    form = dice.choice(["pickled", "shape", "noise", "other", "claim"])
    if path.suffix != ".npz":
        size = b"\x7f\xff\xff\xff" if form == "claim" else b"\0\0\0\x02"
        path.write_bytes(b"\0\0\x08\x03" + size * 3 + dice.randbytes(dice.choice([0, 8, 500])))
        return path
    images: Any = np.zeros((3, 8, 8), np.uint8)
    if form == "pickled":
        images = np.array([{"a": 1}, None], object)
    elif form == "shape":
        images = np.zeros(dice.choice([(), (0,), (3,), (2, 2, 2, 2, 2, 2)]))
    np.savez_compressed(path, images=images, labels=np.zeros(dice.choice([0, 3, 5]), int))
    if form == "noise":
        path.write_bytes(flipped(bytearray(path.read_bytes()), dice))
    return path


def _place(folder: Path, dice: random.Random) -> Path:
    path = folder / dice.choice(["list.json", "list.csv", "list.npz"])
    form = dice.choice(["pipe", "loop", "folder", "empty", "device"])
    if form == "pipe":
        os.mkfifo(path)
    elif form == "loop":
        path.symlink_to(path)
    elif form == "folder":
        path.mkdir()
    elif form == "empty":
        path.write_bytes(b"")
    else:
        return Path(dice.choice(["/dev/zero", "/dev/stdin", "/proc/self/maps"]))
    return path


KINDS: list[Callable[[Path, random.Random], Path]] = [
    *(
        _values,
        _values,
        _named,
        _named,
        _shape,
        _damaged,
        _table,
        _table,
        _folders,
        _arrays,
        _place,
    ),
]
