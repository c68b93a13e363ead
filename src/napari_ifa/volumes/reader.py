"""The one way in: what a file or folder holds, and the Volume of what was chosen."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes.series import Progress, Series, Stop
from napari_ifa.volumes.volume import Volume

if TYPE_CHECKING:
    from napari_ifa.volumes.dicom.header import NotAnImage

#: Choices or reasons named in one message.
_MOST_LISTED = 12
_ZIP_START = b"PK\x03\x04"


def list_series(
    path: str | os.PathLike[str], *, progress: Progress | None = None, stop: Stop | None = None
) -> list[Series]:
    """What can be chosen in a folder (with all folders below it), or what a file belongs to.

    Only headers are read. Series that cannot be opened are listed too, with the reason in
    ``unsupported``. Each image of a NIfTI file is one series, and so is a PNG or JPEG picture,
    listed after the studies; a DICOM file stands for its series in its folder.

    Parameters
    ----------
    progress : told (files done, files in all).
    stop : True ends the scan.

    Raises
    ------
    UnsupportedStudyError
        Where the path does not exist, may not be read, or holds no image.
    Cancelled
        When ``stop`` says so.
    """
    path = _existing(path)
    if path.is_dir():
        return _scan(path, _files_below(path, stop), progress, stop)
    from napari_ifa.volumes.nifti import is_nibabel_file, nifti_series

    if is_nibabel_file(path):
        return nifti_series(path, path.parent)
    from napari_ifa.volumes.picture import is_picture, picture_series

    if is_picture(path):
        return [picture_series(path, path.parent)]
    return _series_of_dicom_file(path, progress, stop)


def read_volume(
    path: str | os.PathLike[str] | Series,
    series: Series | str | int | None = None,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Volume:
    """Open one image: dropped, chosen in the panel or named on the command line, all end here.

    Parameters
    ----------
    path : a NIfTI file, a PNG or JPEG picture, a DICOM file (its whole series in that folder), a
        folder, or a Series.
    series : which one of a folder: a Series, its key, or its DICOM series number. Without it,
        the only one that can be opened; pictures beside a DICOM or NIfTI study do not count.
    progress : told (done, in all) while headers are scanned, then again while slices are read.
    stop : True ends the work.

    Raises
    ------
    UnsupportedStudyError
        With one sentence: why it cannot be opened, or what there is to choose from.
    Cancelled
        When ``stop`` says so.
    """
    if isinstance(path, Series):
        chosen = path
    elif isinstance(series, Series):
        chosen = series
    else:
        chosen = _choose(list_series(path, progress=progress, stop=stop), series)
    if chosen.unsupported is not None:
        raise UnsupportedStudyError(chosen.unsupported)
    if chosen.kind == "nifti":
        from napari_ifa.volumes.nifti import read_nifti

        return read_nifti(chosen, chosen.volume_index, progress, stop)
    if chosen.kind == "image":
        from napari_ifa.volumes.picture import read_picture

        return read_picture(chosen.path)
    from napari_ifa.volumes.dicom import read_dicom

    return read_dicom(chosen, progress, stop)


def _choose(found: list[Series], wanted: str | int | None) -> Series:
    if wanted is None:
        candidates = [
            s for s in found if s.unsupported is None and s.question is None and not s.alternative
        ]
        if not candidates:
            reasons = [str(s.unsupported or s.question) for s in found if not s.alternative]
            if len(reasons) == 1:
                raise UnsupportedStudyError(reasons[0])
            more = f" (and {len(reasons) - 1} more series that cannot be opened)."
            raise UnsupportedStudyError(reasons[0].rstrip(".") + more)
        # A study on a disc comes with its viewer's icons and a preview.
        candidates = [s for s in candidates if s.kind != "image"] or candidates
    else:
        candidates = [s for s in found if s.key == str(wanted)] or [
            s for s in found if s.number is not None and str(s.number) == str(wanted)
        ]
        if not candidates:
            raise UnsupportedStudyError(
                f"No series {wanted} here; there are {len(found)}: {_listed(found)}."
            )
    if len(candidates) > 1:
        raise UnsupportedStudyError(
            f"{len(candidates)} series found; choose one with --series KEY: {_listed(candidates)}."
        )
    return candidates[0]


def _listed(series: list[Series]) -> str:
    texts = [f"{s.key} ({s.title})" for s in series[:_MOST_LISTED]]
    more = len(series) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path).absolute()
    try:
        exists = path.exists()
    except PermissionError as error:
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.") from error
    except OSError:
        exists = False
    if not exists:
        raise UnsupportedStudyError(f"{path.name}: there is no such file or folder.")
    if not os.access(path, os.R_OK):
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.")
    return path


def _files_below(root: Path, stop: Stop | None) -> list[Path]:
    """All files that may be images, in a fixed order; what archive tools leave is passed over."""
    files = []
    for folder, folders, names in os.walk(root):
        if stop is not None and stop():
            raise Cancelled("Reading was stopped.")
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        files += [Path(folder, name) for name in sorted(names) if not name.startswith("._")]
    # Pipes and sockets would block for ever.
    return [file for file in files if file.is_file()]


def _scan(
    root: Path, files: list[Path], progress: Progress | None, stop: Stop | None
) -> list[Series]:
    from napari_ifa.volumes.dicom import dicom_series, scan_frames
    from napari_ifa.volumes.nifti import is_nibabel_file, nifti_series
    from napari_ifa.volumes.picture import is_picture, picture_series

    def pictures(path: Path, root: Path) -> list[Series]:
        return [picture_series(path, root)]

    single = {file: nifti_series for file in files if is_nibabel_file(file)}
    single |= {file: pictures for file in files if file not in single and is_picture(file)}
    others = [file for file in files if file not in single]

    def scanned(done: int, _: int) -> None:
        if progress is not None:
            progress(done, len(files))

    frames, skipped = scan_frames(others, scanned, stop)
    found = dicom_series(frames, root)
    by_key: dict[str, Series] = {}
    for done, (file, series_of) in enumerate(single.items(), start=len(others) + 1):
        if stop is not None and stop():
            raise Cancelled("Reading was stopped.")
        # A header and its data file give the same series.
        by_key |= {series.key: series for series in series_of(file, root)}
        scanned(done, len(files))
    found += by_key.values()
    if not found:
        raise UnsupportedStudyError(_nothing_found(root, files, skipped))
    return sorted(found, key=_place_in_list)


def _place_in_list(series: Series) -> tuple[bool, bool, int, str]:
    """Numbered series first, pictures last; the images of a series stay in their order."""
    number = series.number
    return series.kind == "image", number is None, number or 0, series.description


def _nothing_found(root: Path, files: list[Path], skipped: list[NotAnImage]) -> str:
    from napari_ifa.volumes.dicom.header import NotAnImage

    if not files:
        return f"{root.name}: the folder is empty."
    count = Counter(skipped)
    details = [f"{len(files)} files"]
    if objects := count[NotAnImage.OTHER_OBJECT]:
        details.append(f"{objects} DICOM objects without an image")
    if unreadable := count[NotAnImage.UNREADABLE]:
        details.append(f"{unreadable} that cannot be read")
    return f"{root.name}: no DICOM, NIfTI, PNG or JPEG image among {', '.join(details)}."


def _series_of_dicom_file(path: Path, progress: Progress | None, stop: Stop | None) -> list[Series]:
    from napari_ifa.volumes.dicom import dicom_series, scan_frames
    from napari_ifa.volumes.dicom.header import NotAnImage, read_frames

    row = read_frames(path)
    if row is NotAnImage.OTHER_OBJECT:
        raise UnsupportedStudyError(
            f"{path.name}: a DICOM object without an image; open the folder of the images instead."
        )
    if row is NotAnImage.UNREADABLE:
        raise UnsupportedStudyError(f"{path.name}: cannot be read as DICOM; it may be damaged.")
    if row is NotAnImage.OTHER_FILE:
        raise UnsupportedStudyError(_not_an_image(path))
    siblings = sorted(
        file for file in path.parent.iterdir() if file.is_file() and not file.name.startswith("._")
    )
    frames, _ = scan_frames(siblings, progress, stop)
    found = dicom_series(frames, path.parent)
    mine = [s for s in found if path in s.files]
    # A dropped duplicate has no series of its own: its twin has.
    return mine or found


def _not_an_image(path: Path) -> str:
    from napari_ifa.volumes.picture import is_picture_name

    with path.open("rb") as file:
        if file.read(4) == _ZIP_START:
            return f"{path.name}: zip archives are not opened; unpack it first."
    if is_picture_name(path):
        return f"{path.name}: not a PNG or JPEG picture, in spite of its name."
    return f"{path.name}: neither a DICOM, NIfTI, PNG nor JPEG file."
