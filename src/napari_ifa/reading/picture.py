"""Pictures: PNG and JPEG files, and plain 2D arrays, as images of one slice.

A picture is shown as any picture viewer shows it, with the values that MONAI's ``PILReader`` gives:
what the person sees is what a network gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.problems import PictureNote, StudyProblem, not_read
from napari_ifa.reading.series import Series, place_below, series_key
from napari_ifa.reading.starts import start_of
from napari_ifa.volumes.geometry_report import GeometryReport, Note
from napari_ifa.volumes.volume import SourceOrder, Volume, Window, volume_from_file_order

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels of the largest picture opened: where Pillow begins to suspect a decompression bomb.
MOST_PIXELS = 89_478_485

_SUFFIXES = (".png", ".jpg", ".jpeg")
#: Deflate cannot compress better than this.
_DEFLATE_BEST_RATIO = 1040
#: Where the header of a PNG file states the bits for a channel.
_PNG_DEPTH = slice(24, 25)
_EXIF_ORIENTATION = 0x0112
#: Pillow's kinds of pixels that are opened.
_GREY, _COLOUR = ("1", "L", "P", "I", "I;16", "LA"), ("RGB", "RGBA")
_FULL_8_BIT = Window(127.5, 255.0, "full range")


def picture_volume(
    array: NDArray[Any], *, description: str = "", notes: tuple[str, ...] = ()
) -> Volume:
    """An array as an image of one slice, rows downwards and columns to the right.

    Nothing says where the patient lies. As in ITK, columns are taken to run towards the left and
    rows towards the back (an axial slice) with 1 mm for a pixel; ``report.notes`` says that this
    is not known. ``in_source_order()`` gives ``[columns, rows, 1]`` as MONAI's ``PILReader`` does.

    Parameters
    ----------
    array : ``[rows, columns]``, or ``[rows, columns, 3]`` in colour; numbers of any type.
    description : of the picture, never of the patient.
    notes : further sentences for ``report.notes``.

    Raises
    ------
    UnsupportedStudyError
        Where the array has another shape, is empty, or holds no real numbers.
    """
    array = np.asarray(array)
    colour = array.ndim == 3 and array.shape[2] == 3
    if not (array.ndim == 2 or colour) or 0 in array.shape:
        raise UnsupportedStudyError(StudyProblem.NO_PICTURE, shape=array.shape)
    if array.dtype.kind not in "biuf":
        raise UnsupportedStudyError(StudyProblem.NO_NUMBERS, dtype=array.dtype)
    # torch refuses other byte orders, and napari half precision.
    dtype = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    columns_first = array.astype(dtype, copy=False).swapaxes(0, 1)[:, :, None]
    return volume_from_file_order(
        columns_first,
        np.eye(4),
        SourceOrder(kind="image", placed=False),
        description=description,
        windows=(_FULL_8_BIT,) if dtype == np.uint8 else (),
        report=GeometryReport(notes=(Note(PictureNote.UNPLACED), *notes)),
    )


def is_picture_name(path: Path) -> bool:
    """True for ``.png``, ``.jpg`` and ``.jpeg``."""
    return path.name.lower().endswith(_SUFFIXES)


def picture_series(path: Path, root: Path) -> Series:
    """The Series of one picture, by its header alone; ``root`` is the folder scanned."""
    shape = unsupported = None
    try:
        with _opened(path) as image:
            shape = (1, image.height, image.width)
    except UnsupportedStudyError as error:
        unsupported = Note.of(error)
    return Series(
        key=series_key(f"image|{place_below(root, path)}"),
        path=path,
        kind="image",
        description=path.stem,
        shape=shape,
        unsupported=unsupported,
        files=(path,),
    )


def read_picture(path: Path) -> Volume:
    """The picture of a PNG or JPEG file, in the values of the file.

    Like MONAI's ``PILReader``, this gives the numbers of palette entries for a picture with a
    palette, the first picture of several, and pixels as stored whatever EXIF says about turning
    them. Unlike it, it leaves transparency (an alpha channel) out. ``report.notes`` says which of
    these was met.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the file cannot be opened correctly.
    """
    with _opened(path) as image:
        try:
            values = np.asarray(image)
        except Exception as error:  # Pillow's decoders raise what they like
            raise not_read(path, error) from error
        notes = tuple(_notes(path, image, values))
        if image.mode == "LA":
            values = values[..., 0]
        elif image.mode in _COLOUR:
            values = values[..., :3]
        return picture_volume(values, description=path.stem, notes=notes)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The picture by its header, checked before anything is allocated for its pixels."""
    from PIL import Image

    try:
        image = Image.open(path, formats=("PNG", "JPEG"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow's decoders raise what they like
        raise not_read(path, error) from error
    with image:
        _refuse(path, image)
        yield image


def _refuse(path: Path, image: Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)
    if image.mode == "CMYK":
        raise UnsupportedStudyError(StudyProblem.PRINT_COLOURS, file=path.name)
    if image.mode not in (*_GREY, *_COLOUR):
        raise UnsupportedStudyError(StudyProblem.COLOURS, file=path.name, mode=image.mode)
    least = image.width * image.height / 8
    if image.format == "PNG" and least > path.stat().st_size * _DEFLATE_BEST_RATIO:
        raise not_read(path, ValueError("too small for its size"))


def _notes(path: Path, image: Image, values: NDArray[Any]) -> Iterator[str]:
    """What a person may see otherwise in another program; one sentence each."""
    if image.mode in ("LA", "RGBA"):
        yield Note(PictureNote.NO_TRANSPARENCY)
    if image.mode == "P" and not _is_plain_grey(image, values):
        yield Note(PictureNote.PALETTE)
    if getattr(image, "n_frames", 1) > 1:
        yield Note(PictureNote.FIRST_OF_SEVERAL)
    if _exif_orientation(image) not in (0, 1):
        yield Note(PictureNote.NOT_TURNED)
    if image.format == "PNG" and image.mode in _COLOUR and start_of(path)[_PNG_DEPTH] > b"\x08":
        yield Note(PictureNote.EIGHT_BITS)


def _is_plain_grey(image: Image, indices: NDArray[Any]) -> bool:
    """Whether each palette entry in use is the grey of its own number."""
    entries = np.asarray(image.getpalette("RGB") or [], dtype=int).reshape(-1, 3)
    used = np.unique(indices)
    return bool(used.max() < len(entries) and (entries[used] == used[:, None]).all())


def _exif_orientation(image: Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block says nothing, and the picture is whole without it
        return 1


def _too_large(path: Path) -> UnsupportedStudyError:
    return UnsupportedStudyError(
        StudyProblem.TOO_MANY_PIXELS, file=path.name, millions=MOST_PIXELS // 10**6
    )
