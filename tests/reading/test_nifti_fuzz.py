"""Damaged files of every format that nibabel reads: an image or one sentence, and bounded memory.

Set ``NAPARI_IFA_FUZZ_EXAMPLES`` to try more than the few hundred of every run.
"""

from __future__ import annotations

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti import nifti_series, read_nifti

DATA = Path(nibabel.__file__).parent / "tests" / "data"
EXAMPLES = int(os.environ.get("NAPARI_IFA_FUZZ_EXAMPLES", "300"))
#: Of the examples, for each of the eleven files below.
EACH = max(1, EXAMPLES // 11)
#: Bytes that opening takes beside the image.
SMALL = 2**26
LONGEST_SENTENCE = 300
CUBE = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@dataclass(frozen=True)
class Damage:
    """What is done to a file.

    Attributes
    ----------
    places : where, as fractions of the bytes (or words) that hold the header, and what is put
        there.
    end : the part of the data that is left, or None for all.
    noise : where, as fractions of the whole file, bytes are changed.
    """

    places: tuple[tuple[float, bytes], ...]
    end: float | None
    noise: tuple[float, ...]


def numbers() -> list[bytes]:
    """What is likely to do harm in a header: extreme numbers of every type and byte order."""
    found = []
    for order in "<>":
        found += [np.array(n, f"{order}i2").tobytes() for n in (0, -1, 1, 255, 30000, 32767)]
        found += [np.array(n, f"{order}i4").tobytes() for n in (0, -1, 2**31 - 1, 65536)]
        found += [np.array(n, f"{order}i8").tobytes() for n in (-1, 2**63 - 1, 2**40)]
        found += [np.array(x, f"{order}f4").tobytes() for x in (np.nan, np.inf, 1e38, -1e-38, 1e9)]
        found += [np.array(x, f"{order}f8").tobytes() for x in (np.nan, -np.inf, 1e300, 1e-300)]
    return found


WORDS = [b"", b"0", b"-1", b"nan", b"inf", b"1e400", b"99999999", b"9" * 30, b"3.7", b"x", b"\xff"]
FRACTION = st.floats(0, 1, exclude_max=True)


def damage(things: list[bytes]) -> st.SearchStrategy[Damage]:
    thing = st.one_of(st.sampled_from(things), st.binary(min_size=1, max_size=8))
    return st.builds(
        Damage,
        st.lists(st.tuples(FRACTION, thing), max_size=4).map(tuple),
        st.one_of(st.none(), st.none(), FRACTION),
        st.lists(FRACTION, max_size=3).map(tuple),
    )


@dataclass(frozen=True)
class Sample:
    """A file to damage: its header, and its data where they stand in a file of their own."""

    header: tuple[str, bytes]
    data: tuple[str, bytes] | None = None
    header_size: int = 0
    is_text: bool = False
    is_packed: bool = False

    def write(self, folder: Path, how: Damage) -> Path:
        name, content = self.header
        content = in_text(content, how) if self.is_text else in_bytes(content, how, self.size)
        if self.data is None:
            content = noisy(content, how)
        else:
            (folder / self.data[0]).write_bytes(noisy(self.data[1], how))
        (folder / name).write_bytes(gzip.compress(content, 1) if self.is_packed else content)
        return folder / name

    @property
    def size(self) -> int:
        return self.header_size or len(self.header[1])


def in_bytes(content: bytes, how: Damage, size: int) -> bytes:
    changed = bytearray(content)
    for fraction, new in how.places:
        # Fields stand at even bytes.
        at = int(fraction * size) & ~1
        changed[at : at + len(new)] = new
    return bytes(changed)


def in_text(content: bytes, how: Damage) -> bytes:
    words = re.split(rb"(\s+)", content)
    for fraction, new in how.places:
        words[int(fraction * len(words))] = new
    return b"".join(words)


def noisy(content: bytes, how: Damage) -> bytes:
    changed = bytearray(content)
    for fraction in how.noise:
        if changed:
            changed[int(fraction * len(changed))] ^= 0x55
    return bytes(changed if how.end is None else changed[: int(how.end * len(changed))])


def sample_of(*names: str, **options: bool | int) -> Callable[[Path], Sample]:
    """Files that nibabel ships, as they are."""

    def make(_: Path) -> Sample:
        contents = [(name, (DATA / name).read_bytes()) for name in names]
        return Sample(*contents, **options)  # type: ignore[arg-type]

    return make


def unpacked(name: str, as_name: str, size: int, is_packed: bool) -> Callable[[Path], Sample]:
    def make(_: Path) -> Sample:
        content = gzip.decompress((DATA / name).read_bytes())
        return Sample((as_name, content), header_size=size, is_packed=is_packed)

    return make


def pair(kind: type) -> Callable[[Path], Sample]:
    def make(folder: Path) -> Sample:
        kind(CUBE, np.diag([2, 3, 4, 1])).to_filename(folder / "made.hdr")
        header, data = (folder / "made.hdr").read_bytes(), (folder / "made.img").read_bytes()
        return Sample(("made.hdr", header), ("made.img", data))

    return make


SAMPLES = {
    "nifti1": unpacked("standard.nii.gz", "standard.nii", 348, False),
    "nifti1_gz": unpacked("standard.nii.gz", "standard.nii.gz", 348, True),
    "nifti2_gz": unpacked("example_nifti2.nii.gz", "example.nii.gz", 540, True),
    "nifti_pair": pair(nibabel.Nifti1Pair),
    "analyze": pair(nibabel.AnalyzeImage),
    "mgh": unpacked("test.mgz", "test.mgh", 90, False),
    "mgz": unpacked("test.mgz", "test.mgz", 90, True),
    "minc1": sample_of("minc1_4d.mnc"),
    "minc2": sample_of("minc2_1_scale.mnc"),
    "afni": sample_of("scaled+tlrc.HEAD", "scaled+tlrc.BRIK", is_text=True),
    "parrec": sample_of("phantom_varscale.PAR", "phantom_varscale.REC", is_text=True),
}


def check(path: Path) -> bool:
    """Whether an image came out of it; AssertionError where anything but a sentence did."""
    tracemalloc.start()
    try:
        listed = nifti_series(path, path.parent)
        series = listed[-1]
        # What the header claims, where it was believed.
        decoded = 4 * prod(series.shape or (0,))
        try:
            volume = read_nifti(series)
        except UnsupportedStudyError as error:
            sentence = str(error)
            assert series.unsupported in (None, sentence)
            assert sentence.startswith(f"{path.name}: ")
            assert len(sentence) <= LONGEST_SENTENCE
            assert "\n" not in sentence
            volume = None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * decoded + SMALL
    if volume is None:
        return False
    assert series.unsupported is None
    assert np.isfinite(volume.affine).all()
    assert min(volume.shape) >= 1
    assert min(volume.spacing) > 0
    assert (series.shape, series.spacing) == (volume.shape, volume.spacing)
    assert volume.array.dtype in (np.int16, np.float32, np.uint8)
    return True


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_undamaged_file_opens(name: str, tmp_path: Path) -> None:
    assert check(SAMPLES[name](tmp_path).write(tmp_path, Damage((), None, ())))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_damaged_file_is_an_image_or_a_sentence(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sample = SAMPLES[name](tmp_path)

    @settings(
        max_examples=EACH,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )
    @given(damage(WORDS if sample.is_text else numbers()))
    def run(how: Damage) -> None:
        check(sample.write(tmp_path, how))

    run()
    assert capfd.readouterr() == ("", "")
