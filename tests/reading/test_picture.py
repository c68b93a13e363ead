"""Pictures: what is opened, in which order and values, what is said of it, and what is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data import PILReader
from PIL import Image

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import Series, list_series, picture_volume, read_volume
from napari_ifa.reading.picture import MOST_PIXELS
from napari_ifa.reading.problems import PictureNote, StudyProblem
from napari_ifa.volumes import default_window
from tests.problems import refused

UNPLACED = PictureNote.UNPLACED
#: 2 rows and 3 columns.
GREY = np.array([[0, 1, 2], [10, 11, 255]], np.uint8)
COLOUR = np.stack([GREY, GREY + 50, 255 - GREY], axis=-1)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    image.save(path, **options)
    return path


def problem(path: Path | Series) -> StudyProblem:
    """Why ``path`` cannot be opened; a person reads one line."""
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return caught.value.kind


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG file by the letter of its specification, of whatever size the header claims."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


# -------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_rows_run_down_and_columns_to_the_right(array: np.ndarray) -> None:
    """The planes are shown with (I; P, L) as (slice; down, right) for the order (0, 1, 2)."""
    volume = picture_volume(array)

    np.testing.assert_array_equal(volume.array, array[None])
    assert volume.shape == (1, 2, 3)
    assert volume.plane == "picture"
    assert volume.source.kind == "image"


@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_the_sources_order_is_columns_then_rows(array: np.ndarray) -> None:
    found, ras = picture_volume(array).in_source_order()

    np.testing.assert_array_equal(found[:, :, 0], np.moveaxis(array, 0, 1))
    # ITK reads a picture with the identity in LPS: columns to x, rows to y.
    np.testing.assert_array_equal(ras, np.diag([-1.0, -1.0, 1.0, 1.0]))


def test_what_is_not_known_is_said() -> None:
    volume = picture_volume(GREY, description="thorax", notes=("A second sentence.",))

    assert volume.report.kinds == (UNPLACED,)
    assert volume.report.notes[1:] == ("A second sentence.",)
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert volume.description == "thorax"
    assert picture_volume(GREY).report.badge == ""


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (">u2", np.uint16),
        ("<u2", np.uint16),
        (">f8", np.float64),
        ("f2", np.float32),
        ("?", np.bool_),
        ("i8", np.int64),
    ],
)
def test_any_real_numbers_are_taken_in_this_computers_order(stored: str, kept: type) -> None:
    volume = picture_volume(GREY.astype(stored))

    assert volume.array.dtype == np.dtype(kept)
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array[0], GREY.astype(stored))


@pytest.mark.parametrize(
    ("array", "kind", "facts"),
    [
        (np.zeros((2, 3, 4)), StudyProblem.NO_PICTURE, {"shape": (2, 3, 4)}),
        (np.zeros(5), StudyProblem.NO_PICTURE, {"shape": (5,)}),
        (np.zeros((0, 5)), StudyProblem.NO_PICTURE, {"shape": (0, 5)}),
        (np.zeros((2, 2), complex), StudyProblem.NO_NUMBERS, {"dtype": "complex128"}),
        (np.array([["a"]]), StudyProblem.NO_NUMBERS, {"dtype": "<U1"}),
    ],
)
def test_an_array_that_is_no_picture_is_refused(
    array: np.ndarray, kind: StudyProblem, facts: dict[str, object]
) -> None:
    with refused(UnsupportedStudyError, kind, **facts):
        picture_volume(array)


def test_eight_bits_are_shown_in_full_and_more_by_their_values() -> None:
    assert default_window(picture_volume(GREY)).limits == (0.0, 255.0)
    twelve_bits = np.linspace(0, 4095, 10_000).reshape(100, 100).astype(np.uint16)
    low, high = default_window(picture_volume(twelve_bits)).limits
    assert 0 < low < 100
    assert 4000 < high < 4095


# --------------------------------------------------------------------------- files


KINDS = (
    "grey PNG",
    "colour PNG",
    "grey JPEG",
    "colour JPEG",
    "progressive JPEG",
    "16 bits",
    "1 bit",
    "palette",
)


def saved_pictures(folder: Path) -> dict[str, Path]:
    """A file of each kind that is opened."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (11, 17)).astype(np.uint8)
    colour = rng.integers(0, 256, (11, 17, 3)).astype(np.uint8)
    wide = rng.integers(0, 2**16, (11, 17)).astype(np.uint16)
    return {
        "grey PNG": save(folder / "grey.png", grey),
        "colour PNG": save(folder / "colour.png", colour),
        "grey JPEG": save(folder / "grey.jpg", grey),
        "colour JPEG": save(folder / "colour.jpeg", colour),
        "progressive JPEG": save(folder / "progressive.jpg", colour, progressive=True),
        "16 bits": save(folder / "wide.png", wide),
        "1 bit": save(folder / "bits.png", grey > 99),
        "palette": save(folder / "palette.png", colour, "P"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_order_are_those_of_monais_reader(tmp_path: Path, kind: str) -> None:
    path = saved_pictures(tmp_path)[kind]
    reader = PILReader()
    expected, _ = reader.get_data(reader.read(path))

    volume = read_volume(path)

    found, _ = volume.in_source_order()
    np.testing.assert_array_equal(found[:, :, 0], expected)
    assert found.dtype == expected.dtype
    assert volume.description == path.stem


@pytest.mark.parametrize(("mode", "kept"), [("RGBA", COLOUR), ("LA", GREY)])
def test_transparency_is_left_out_and_said(tmp_path: Path, mode: str, kept: np.ndarray) -> None:
    image = Image.fromarray(kept).convert(mode)
    image.putalpha(Image.fromarray(255 - GREY))
    image.save(tmp_path / "a.png")

    volume = read_volume(tmp_path / "a.png")

    np.testing.assert_array_equal(volume.array[0], kept)
    assert volume.report.kinds == (UNPLACED, PictureNote.NO_TRANSPARENCY)


def test_a_palette_is_said_unless_it_is_plain_grey(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("P")
    image.putpalette([level for grey in range(256) for level in (grey, grey, grey)])
    image.save(tmp_path / "plain.png")
    image.putpalette([level for grey in range(256) for level in (255 - grey, grey, grey)])
    image.save(tmp_path / "colours.png")

    plain, colours = (read_volume(tmp_path / f"{name}.png") for name in ("plain", "colours"))

    np.testing.assert_array_equal(plain.array[0], GREY)
    np.testing.assert_array_equal(colours.array[0], GREY)
    assert plain.report.kinds == (UNPLACED,)
    assert colours.report.kinds == (UNPLACED, PictureNote.PALETTE)


@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_stand_as_stored_whatever_exif_says(tmp_path: Path, orientation: int) -> None:
    """MONAI's reader does not look at EXIF, and the network was trained on what it gave."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", GREY, exif=exif)

    volume = read_volume(path)

    np.testing.assert_array_equal(volume.array[0], GREY)
    assert (PictureNote.NOT_TURNED in volume.report.kinds) == (orientation != 1)


def test_a_damaged_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", GREY, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")

    assert read_volume(path).report.kinds == (UNPLACED,)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "MPO")])
def test_of_several_pictures_in_a_file_the_first_is_opened(
    tmp_path: Path, name: str, kind: str
) -> None:
    first, second = (np.full((8, 8), value, np.uint8) for value in (7, 200))
    images = [Image.fromarray(array) for array in (first, second)]
    images[0].save(tmp_path / name, kind, save_all=True, append_images=images[1:])

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(volume.array[0], first)
    assert volume.report.kinds == (UNPLACED, PictureNote.FIRST_OF_SEVERAL)


def test_16_bits_of_a_colour_are_said_to_be_reduced(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in COLOUR.astype(np.uint16) * 257)
    path = tmp_path / "deep.png"
    path.write_bytes(png(3, 2, 16, 2, rows))

    volume = read_volume(path)

    np.testing.assert_array_equal(volume.array[0], COLOUR)
    assert volume.report.kinds == (UNPLACED, PictureNote.EIGHT_BITS)


# ------------------------------------------------------------------- what is refused


def test_a_bomb_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    claims = {
        "vast.png": (60_000, 60_000),
        "large.png": (10_000, MOST_PIXELS // 10_000 + 1),
        # Within the limit, but a few bytes cannot hold so much.
        "hollow.png": (9_000, 9_000),
    }
    for name, size in claims.items():
        (tmp_path / name).write_bytes(png(*size, 8, 0, bytes(1000)))
    content = bytearray(save(tmp_path / "vast.jpg", GREY).read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "vast.jpg").write_bytes(content)

    tracemalloc.start()
    for name in ("vast.png", "large.png", "vast.jpg"):
        assert problem(tmp_path / name) is StudyProblem.TOO_MANY_PIXELS
    assert problem(tmp_path / "hollow.png") is StudyProblem.DAMAGED
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert [s.unsupported is not None for s in list_series(tmp_path)] == [True] * 4


def opened_or_refused(path: Path, content: bytes) -> np.ndarray | StudyProblem:
    """The picture of a file of this content, or why there is none."""
    path.write_bytes(content)
    try:
        return read_volume(path).array
    except UnsupportedStudyError as error:
        return error.kind


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_that_ends_early_is_whole_or_refused(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 256, (16, 9), np.uint8))
    whole, content = read_volume(path).array, path.read_bytes()
    found = [opened_or_refused(path, content[:length]) for length in range(8, len(content))]

    opened = [array for array in found if isinstance(array, np.ndarray)]
    assert {why for why in found if not isinstance(why, np.ndarray)} == {StudyProblem.DAMAGED}
    # Those that lack only marks after the last pixel.
    assert len(opened) < 24
    for array in opened:
        np.testing.assert_array_equal(array, whole)


def test_a_changed_byte_of_a_png_never_changes_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (16, 9), np.uint8))
    whole, content = read_volume(path).array, path.read_bytes()
    changes_seen = 0
    for place in range(8, len(content)):
        changed = content[:place] + bytes([content[place] ^ 0b100]) + content[place + 1 :]
        found = opened_or_refused(path, changed)
        if not isinstance(found, np.ndarray):
            changes_seen += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert changes_seen > len(content) / 2


def test_colours_for_print_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "print.jpg", COLOUR, "CMYK")

    assert problem(tmp_path / "print.jpg") is StudyProblem.PRINT_COLOURS


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (series,) = list_series(save(tmp_path / "a.png", GREY))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    assert problem(series) is StudyProblem.NO_PERMISSION


def test_a_file_removed_after_listing_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREY)
    (series,) = list_series(path)
    path.unlink()

    assert problem(series) is StudyProblem.NO_SUCH_FILE


# ------------------------------------------------------------------ files and folders


def test_a_picture_is_one_series_by_its_header(tmp_path: Path) -> None:
    (series,) = list_series(save(tmp_path / "thorax.png", GREY))

    assert series.kind == "image"
    assert series.shape == (1, 2, 3)
    assert series.spacing is None
    assert series.orientation == ""
    assert series.title == "thorax, 1 image"
    assert read_volume(series).shape == (1, 2, 3)


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    for name in ("IM0001", "picture.dcm", "photo.JPG.bak"):
        buffer = io.BytesIO()
        Image.fromarray(GREY).save(buffer, "PNG")
        (tmp_path / name).write_bytes(buffer.getvalue())
        assert read_volume(tmp_path / name).shape == (1, 2, 3)
    (tmp_path / "letter.png").write_text("Dear colleague")
    assert problem(tmp_path / "letter.png") is StudyProblem.NAMED_AS_PICTURE


def test_a_dicom_file_is_none_whatever_stands_before_its_mark(
    save_series: Callable[..., Path],
) -> None:
    folder = save_series()
    for file in folder.iterdir():
        file.write_bytes(b"\xff\xd8\xff".ljust(128, b"\0") + file.read_bytes()[128:])

    assert [series.kind for series in list_series(folder)] == ["dicom"]


def test_each_picture_of_a_folder_is_a_series(tmp_path: Path) -> None:
    for name in ("b.png", "sub/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, GREY)
    (tmp_path / "._b.png").write_bytes(b"left by an archive tool")
    seen: list[tuple[int, int]] = []

    found = list_series(tmp_path, progress=lambda done, total: seen.append((done, total)))

    assert [(s.kind, s.description) for s in found] == [("image", "a"), ("image", "b")]
    assert found[0].key != found[1].key
    assert seen == [(1, 2), (2, 2)]
    assert problem(tmp_path) is StudyProblem.SEVERAL_SERIES
    assert read_volume(tmp_path, found[0].key).description == "a"


def test_pictures_beside_a_study_come_last_and_do_not_ask_for_a_choice(
    save_series: Callable[..., Path],
) -> None:
    folder = save_series()
    preview = save(folder / "preview.jpg", GREY)
    icon = save(folder / "icon.png", COLOUR)

    assert [s.path.name for s in list_series(folder)][1:] == [icon.name, preview.name]
    assert read_volume(folder).shape == (4, 2, 3)
    assert read_volume(preview).shape == (1, 2, 3)


def test_real_pictures_open(shared_data: Path) -> None:
    for folder, size in (("chest_xray/test/NORMAL", 224), ("breast_ultrasound/benign", 128)):
        path = min((shared_data / folder).iterdir())
        volume = read_volume(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(volume.array[0], np.asarray(image))
        assert volume.shape == (1, size, size)
        assert volume.description == path.stem
