"""Zip archives of a study: the images of one, unpacked for as long as they are needed.

An archive comes from anywhere: its names are never taken as paths, and what it claims to hold is
checked before anything is written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from napari_ifa.disk import WorkFolder
from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.memory import in_gib
from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.reading.problems import StudyProblem, not_read
from napari_ifa.reading.scan import ARCHIVE, NO_IMAGE
from napari_ifa.reading.series_list import SkippedFiles
from napari_ifa.reading.starts import START, archive_kind, is_dicom, is_picture

UNSAFE_NAME = "name in the archive that leads out of it"
SPECIAL_MEMBER = "link or device in the archive"

#: Bytes of an archive's table of contents: some 200,000 files.
_MOST_CONTENTS = 32 * 2**20
MOST_MEMBERS = 200_000
#: An archive may grow to this many bytes, or to this many times its size where that is more.
_ALWAYS_ALLOWED, _MOST_GROWTH = 2 * 2**30, 100
_SHARE_OF_DISK = 0.8
_CHUNK = 2**20
#: What decompresses in little memory; LZMA takes what the archive asks for.
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_ENCRYPTED = 0x1
_NOT_IN_NAMES = set('<>:"|?*')
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}
_LONGEST_NAME = 120
_LONGEST_PLACE = 150
_END_MARK, _END64_MARK = b"PK\x05\x06", b"PK\x06\x06"
_END_SIZE = 22 + 2**16


class UnpackedArchive:
    """A private folder of unpacked files, removed with the last reference to this.

    What a process that is killed leaves of it is removed by the next run.

    Attributes
    ----------
    folder : that only this user can look into.
    """

    def __init__(self) -> None:
        self._home = WorkFolder.temporary()
        self.folder = self._home.path / "files"
        self.folder.mkdir()

    def __deepcopy__(self, _: object) -> UnpackedArchive:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Another process can keep nothing of this one alive: it gets None.
        return type(None), ()


def unpack(
    path: Path,
    skipped: SkippedFiles,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> UnpackedArchive:
    """Unpack what may be an image.

    Files keep their folders and names as far as any system takes them, so that a file has the
    same place at every scan.

    Parameters
    ----------
    skipped : is given the members that are left out.
    progress : is given (members done, in all).

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the archive is encrypted, damaged, or too large.
    """
    try:
        _refuse_long_contents(path)
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            unpacked = UnpackedArchive()
            _refuse_too_large(path, members, unpacked.folder)
            for done, member in enumerate(members):
                check_stop(stop)
                if progress is not None:
                    progress(done, len(members))
                _unpack_member(path, archive, member, done, unpacked.folder, skipped, stop)
            if progress is not None:
                progress(len(members), len(members))
            return unpacked
    except NotImplementedError as error:
        raise UnsupportedStudyError(StudyProblem.PACKED_OTHERWISE, file=path.name) from error
    except PermissionError as error:
        raise not_read(path, error) from error
    except (zipfile.BadZipFile, EOFError, zlib.error, ValueError) as error:
        raise UnsupportedStudyError(StudyProblem.DAMAGED_ARCHIVE, file=path.name) from error
    except OSError as error:
        raise UnsupportedStudyError(
            StudyProblem.UNREADABLE, file=path.name, reason=error.strerror or "read error"
        ) from error


def _refuse_long_contents(path: Path) -> None:
    """Look at the size of the table of contents before zipfile reads all of it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_SIZE - 128))
        tail = file.read()
    at = tail.rfind(_END_MARK)
    contents = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if contents == 0xFFFFFFFF:
        at = tail.rfind(_END64_MARK)
        contents = int.from_bytes(tail[at + 40 : at + 48], "little") if at >= 0 else 0
    if contents > _MOST_CONTENTS:
        raise UnsupportedStudyError(StudyProblem.TOO_MANY_FILES, file=path.name, most=MOST_MEMBERS)


def _refuse_too_large(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    if len(members) > MOST_MEMBERS:
        raise UnsupportedStudyError(StudyProblem.TOO_MANY_FILES, file=path.name, most=MOST_MEMBERS)
    claimed = sum(member.file_size for member in members)
    free = shutil.disk_usage(folder).free * _SHARE_OF_DISK
    growth = max(_ALWAYS_ALLOWED, _MOST_GROWTH * path.stat().st_size)
    if claimed > growth:
        raise UnsupportedStudyError(
            StudyProblem.CLAIMS_TOO_MUCH, file=path.name, gigabytes=claimed / 2**30
        )
    if claimed > free:
        raise UnsupportedStudyError(
            StudyProblem.NO_SPACE,
            bytes_needed=claimed,
            file=path.name,
            needed=in_gib(claimed),
            free=in_gib(free),
        )


def _unpack_member(
    path: Path,
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    index: int,
    folder: Path,
    skipped: SkippedFiles,
    stop: Stop | None,
) -> None:
    place = _safe_place(member.filename)
    shown = PurePosixPath(member.filename.replace("\\", "/")).name
    if place is None:
        skipped.add(UNSAFE_NAME, shown)
        return
    if place.name.startswith("._") or place.parts[0] == "__MACOSX":
        # Left by archive tools.
        return
    # Archives made elsewhere than on Unix say nothing of kinds.
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        skipped.add(SPECIAL_MEMBER, shown)
        return
    if member.flag_bits & _ENCRYPTED:
        raise UnsupportedStudyError(StudyProblem.ENCRYPTED, file=path.name)
    if member.compress_type not in _READ:
        raise UnsupportedStudyError(
            StudyProblem.COMPRESSION, file=path.name, method=member.compress_type
        )
    try:
        with archive.open(member) as source:
            start = source.read(START)
            if not _may_be_image(place, start):
                skipped.add(ARCHIVE if archive_kind(start) else NO_IMAGE, shown)
                return
            with _created(folder, place, index) as target:
                target.write(start)
                while chunk := source.read(_CHUNK):
                    check_stop(stop)
                    target.write(chunk)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise UnsupportedStudyError(
            StudyProblem.DAMAGED_MEMBER, file=path.name, member=shown
        ) from error


def _safe_place(name: str) -> PurePosixPath | None:
    """Where a member goes below the folder; None where its name leads elsewhere."""
    plain = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = plain.split("/")
    if plain.startswith("/") or ".." in parts or (len(plain) > 1 and plain[1] == ":"):
        return None
    kept = [_safe_name(part) for part in parts if part not in ("", ".")]
    if not kept:
        return None
    place = PurePosixPath(*kept)
    if len(str(place)) > _LONGEST_PLACE:
        # Not every system takes more; files of one folder stay together.
        folder = hashlib.sha256(str(place.parent).encode("utf-8", "replace")).hexdigest()[:8]
        place = PurePosixPath(f"~{folder}", place.name)
    return place


def _safe_name(part: str) -> str:
    characters = ("_" if c in _NOT_IN_NAMES or not c.isprintable() else c for c in part)
    text = "".join(characters).rstrip(". ") or "_"
    # Names that Windows keeps for itself, and the beginning of names that are made up here.
    if text.split(".")[0].lower() in _RESERVED or text.startswith("~"):
        text = f"_{text}"
    while len(text.encode("utf-8", "replace")) > _LONGEST_NAME:
        # The end says what kind of file it is.
        text = f"_{text[2:]}"
    return text


def _may_be_image(place: PurePosixPath, start: bytes) -> bool:
    from napari_ifa.reading.nifti import is_nibabel_name

    return (
        archive_kind(start) != "zip"
        and (
            is_dicom(start)
            # Without its preamble, a DICOM file begins with an element of group 2 or 8.
            or start[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
            or is_picture(start)
            or is_nibabel_name(Path(place))
        )
    )


def _created(folder: Path, place: PurePosixPath, index: int) -> IO[bytes]:
    """A new file at its place; in another folder where that is taken already.

    Two names may differ in case alone, or one may be a folder for others.
    """
    target = folder / place
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")
    except (FileExistsError, NotADirectoryError):
        target = folder / f"~{index}" / place.name
        target.parent.mkdir()
        return target.open("xb")
