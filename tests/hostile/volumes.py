"""Studies that are damaged, claim more than they hold, or are no studies at all."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom

from tests.hostile.texts import name, text

if TYPE_CHECKING:
    from tests.hostile.sound import Sound


def write_study(folder: Path, sound: Sound, dice: random.Random) -> tuple[Path, str]:
    """A file or folder in ``folder``, and what is wrong with it in a few words."""
    kind = dice.choice(KINDS)
    path, what = kind(folder, sound, dice)
    return path, f"{kind.__name__.strip('_')} {what}"


Made = tuple[Path, str]


def _nifti(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """Numbers in the header of a NIfTI file are others."""
    content = bytearray(
        sound.small if dice.random() < 0.7 else gzip.decompress(sound.image.read_bytes())
    )
    for _ in range(dice.choice([1, 2, 5])):
        at = dice.randrange(0, 348, 2)
        number: Any = dice.choice(
            [
                np.int16(-1),
                np.int16(32767),
                np.float32("nan"),
                np.float32("inf"),
                np.float32(1e38),
                np.int32(2**31 - 1),
                np.float32(0),
                np.int16(0),
                np.int16(dice.randrange(32767)),
            ]
        )
        data = number.tobytes()
        content[at : at + len(data)] = data
    path = folder / dice.choice(["a.nii", "b.nii.gz"])
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else bytes(content))
    return path, path.name


def _claims(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """Sizes that nothing can hold, in a file with little or much behind the header."""
    content = bytearray(sound.small)
    sizes = [dice.choice([1, 2, 500, 3000, 32767]) for _ in range(7)]
    content[40:56] = struct.pack("<8h", dice.choice([3, 4, 7]), *sizes)
    kind = dice.choice([(2, 8), (4, 16), (64, 64), (1792, 128), (1536, 128), (128, 24)])
    content[70:74] = struct.pack("<2h", *kind)
    path = folder / "claims.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(bytes(content))
        for _ in range(dice.choice([0, 1, 60])):
            file.write(bytes(2**23))
    return path, str(sizes)


def _cut(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """A file that ends too soon, or of which a few bytes are others."""
    source = dice.choice([sound.image, _one_of(sound.dicom, dice)])
    content = bytearray(source.read_bytes())
    for _ in range(dice.choice([0, 1, 30])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    end = len(content) if dice.random() < 0.4 else dice.randrange(len(content))
    path = folder / source.name
    path.write_bytes(bytes(content[:end]))
    return path, source.suffix


def _one_of(folder: Path, dice: random.Random) -> Path:
    return dice.choice(sorted(folder.iterdir()))


def _element(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """A DICOM series in which an element is as it cannot be."""
    place = folder / "series"
    place.mkdir()
    keyword, value = dice.choice(ELEMENTS)
    if value is None:
        value = text(dice).replace("\0", "").replace("\\", "")[:60]
    files = sorted(sound.dicom.iterdir())[: dice.choice([1, 5, 12])]
    everywhere = dice.random() < 0.6
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        if everywhere or number == 0:
            tag = pydicom.datadict.tag_for_keyword(keyword)
            kind = pydicom.datadict.dictionary_VR(tag)
            try:
                dataset[tag] = pydicom.DataElement(tag, kind, value, validation_mode=0)
                dataset.save_as(place / file.name)
                continue
            except Exception:
                dataset = pydicom.dcmread(file)
                del dataset[keyword]
        dataset.save_as(place / file.name)
    return place, f"{keyword} {value!r}"[:80]


ELEMENTS: list[tuple[str, Any]] = [
    ("Rows", 0), ("Rows", 65535), ("Columns", 65535), ("Columns", 1),
    ("BitsAllocated", 0), ("BitsAllocated", 1), ("BitsAllocated", 64), ("BitsAllocated", 65535),
    ("BitsStored", 33), ("HighBit", 99), ("PixelRepresentation", 9), ("SamplesPerPixel", 0),
    ("SamplesPerPixel", 3), ("SamplesPerPixel", 65535), ("NumberOfFrames", 10**9),
    ("NumberOfFrames", 0), ("NumberOfFrames", -1), ("PlanarConfiguration", 7),
    ("PixelSpacing", [0, 0]), ("PixelSpacing", [1e300, 1e-300]), ("PixelSpacing", [-1, -1]),
    ("ImagePositionPatient", [1e308, -1e308, 1e308]), ("ImagePositionPatient", [0, 0]),
    ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
    ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
    ("SliceThickness", 1e300), ("RescaleSlope", 0), ("RescaleSlope", 1e300),
    ("RescaleIntercept", -1e300), ("WindowWidth", -5), ("WindowCenter", 1e300),
    ("PhotometricInterpretation", "PALETTE COLOR"), ("PhotometricInterpretation", None),
    ("SeriesDescription", None), ("PatientName", None), ("StudyDescription", None),
    ("Modality", None), ("SeriesInstanceUID", None), ("SOPInstanceUID", None), ("StudyDate", None),
    ("SOPClassUID", "1.2.3"), ("InstanceNumber", 10**15), ("SpecificCharacterSet", "ISO 9999"),
    ("SeriesNumber", -(10**12)), ("PixelData", b""), ("PixelData", b"\x00" * 7),
]  # fmt: skip


def _syntax(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """Pixels under a compression that they do not have."""
    dataset = pydicom.dcmread(_one_of(sound.dicom, dice))
    uid = dice.choice(
        ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
         "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.201",
         "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.102", "1.2.3", "1.2.840.10008.1.2.2"]
    )  # fmt: skip
    payload = dice.choice([b"", dice.randbytes(400), b"\xff\xd8\xff" + dice.randbytes(300),
                           b"\xffO\xffQ" + dice.randbytes(300)])  # fmt: skip
    path = folder / "compressed.dcm"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    content = buffer.getvalue()
    if dice.random() < 0.5:
        old = dataset.file_meta.TransferSyntaxUID.encode()
        content = content.replace(
            old + b"\0", uid.encode()[: len(old) + 1].ljust(len(old) + 1, b"\0"), 1
        )
        path.write_bytes(content)
        return path, f"said to be {uid}"
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([payload or b"\0\0"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
    try:
        dataset.save_as(path, implicit_vr=False, little_endian=True)
    except Exception:
        path.write_bytes(content[:-50])
    return path, uid


def _lengths(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """An element of a DICOM file whose length is another."""
    content = bytearray(_one_of(sound.dicom, dice).read_bytes())
    at = dice.randrange(132, min(len(content) - 8, 2000), 2)
    content[at : at + 4] = dice.choice(
        [b"\xff" * 4, b"\xfe\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x40"]
    )
    path = folder / "lengths.dcm"
    path.write_bytes(bytes(content))
    return path, f"at {at}"


def _nested(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """Sequences in sequences."""
    depth = dice.choice([50, 1000, 20_000])
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    content = _one_of(sound.dicom, dice).read_bytes()
    start = content.index(b"\x08\x00", 140)
    path = folder / "nested.dcm"
    path.write_bytes(content[:start] + opening * depth + content[start:])
    return path, str(depth)


def _picture(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """A PNG that claims a size, or is damaged."""
    path = folder / dice.choice(["a.png", "b.jpg", "c.jpeg"])
    form = dice.choice(["claims", "noise", "cut", "text", "16 bit", "animated"])
    content = bytearray(sound.picture)
    if form in ("claims", "16 bit"):
        sizes = struct.pack(
            ">2I", dice.choice([2**31 - 1, 60_000, 20_000]), dice.choice([1, 60_000])
        )
        header = (
            b"IHDR"
            + sizes
            + bytes([16 if form == "16 bit" else 8, dice.choice([0, 2, 6]), 0, 0, 0])
        )
        content[12:33] = header + struct.pack(">I", zlib.crc32(header))
        zeros = zlib.compress(bytes(2**26), 9)
        chunk = b"IDAT" + zeros
        content[33:] = struct.pack(">I", len(zeros)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    elif form == "text":
        words = zlib.compress(b"x" * 2**26, 9)
        chunk = b"zTXta\0\0" + words
        packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        content[33:33] = packed
    elif form == "cut":
        content = content[: dice.randrange(len(content))]
    else:
        content[dice.randrange(len(content))] ^= 255
    path.write_bytes(bytes(content))
    return path, form


def _archive(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """A zip whose names lead out, that unpacks to far more than it has, or is damaged."""
    path = folder / "a.zip"
    form = dice.choice(["out", "bomb", "cut", "noise", "names", "many", "link", "locked", "in zip"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if form == "bomb":
            for number in range(20):
                archive.writestr(f"{number}.dcm", bytes(2**26))
        elif form == "many":
            for number in range(20_000):
                archive.writestr(f"{number}", b"")
        elif form == "link":
            entry = zipfile.ZipInfo("link.dcm")
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
        elif form == "in zip":
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as second:
                second.writestr("a.nii", sound.small)
            archive.writestr("inner.zip", inner.getvalue())
        else:
            for file in sorted(sound.dicom.iterdir())[:4]:
                called = {"out": f"../../{file.name}", "names": f"{name(dice)}/{file.name}"}
                said = called.get(form, file.name).encode("utf-8", "replace").decode()
                archive.writestr(said, file.read_bytes())
    content = bytearray(path.read_bytes())
    if form == "cut":
        content = content[: dice.randrange(len(content))]
    elif form == "noise":
        for _ in range(30):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif form == "locked":
        content[6] |= 1
        content = bytearray(
            content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
        )
    path.write_bytes(bytes(content))
    return path, form


def _place(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """What is no file that can be read to its end, or a folder without one."""
    path = folder / name(dice)
    form = dice.choice(["pipe", "loop", "folder", "into itself", "zero", "nowhere", "deep", "many",
                        "pipes", "closed", "socket", "endless"])  # fmt: skip
    if form == "pipe":
        os.mkfifo(path)
    elif form == "loop":
        path.symlink_to(path)
    elif form == "folder":
        path.mkdir()
    elif form == "into itself":
        path.mkdir()
        (path / "again").symlink_to(path)
        shutil.copy(_one_of(sound.dicom, dice), path / "a.dcm")
    elif form == "zero":
        path.write_bytes(b"")
    elif form == "nowhere":
        path.symlink_to(folder / "nowhere")
    elif form == "deep":
        place = path
        for _ in range(120):
            place = place / "d"
        place.mkdir(parents=True)
        (place / "a.nii").write_bytes(sound.small)
    elif form == "many":
        path.mkdir()
        for number in range(8000):
            (path / f"{number}").write_bytes(b"x")
    elif form == "pipes":
        path.mkdir()
        os.mkfifo(path / "a.dcm")
        (path / "b.nii").symlink_to("/dev/zero")
        (path / "c.nii").symlink_to(path / "c.nii")
        shutil.copy(_one_of(sound.dicom, dice), path / name(dice))
    elif form == "closed":
        path.mkdir(mode=0o000)
    elif form == "socket":
        import socket

        path = folder / "s"
        if len(str(path)) < 100:
            socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        return Path(dice.choice(["/dev/zero", "/dev/stdin", "/dev/null", "/proc/self/mem"])), form
    return path, form


def _named(folder: Path, sound: Sound, dice: random.Random) -> Made:
    """A sound image under a name that does harm."""
    source = dice.choice([sound.image, _one_of(sound.dicom, dice)])
    path = folder / (name(dice) + ("".join(source.suffixes)))
    path.write_bytes(source.read_bytes())
    return path, source.suffix


KINDS: list[Callable[[Path, Sound, random.Random], Made]] = [
    *(_nifti, _nifti, _claims, _cut, _cut, _element, _element, _element, _syntax, _syntax),
    *(_lengths, _lengths, _nested, _picture, _picture, _archive, _archive, _place, _place, _named),
]
