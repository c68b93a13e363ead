"""Files that nibabel reads, by their names; a header and its data file are one image."""

from __future__ import annotations

from pathlib import Path

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.problems import NiftiProblem
from napari_ifa.reading.starts import is_dicom, start_of

_NIFTI = (".nii.gz", ".nii")
#: One file holds all.
_SINGLE = (*_NIFTI, ".mgz", ".mgh", ".mnc")
#: Suffix of a header → those of the data file that belongs to it.
_PAIRS = {
    ".hdr": (".img", ".img.gz"),
    ".hdr.gz": (".img.gz", ".img"),
    ".head": (".brik", ".brik.gz"),
    ".par": (".rec",),
}
#: The reverse; the plain header before the packed one.
_DATA = {data: header for header, datas in reversed(_PAIRS.items()) for data in datas}
#: Longest first, so that ".img.gz" is not taken for another.
_SUFFIXES = sorted((*_SINGLE, *_PAIRS, *_DATA), key=len, reverse=True)
#: A DICOM file may have any name; an old one without its mark starts with its first group, 2 or 8.
_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00")


def is_nifti_name(path: Path) -> bool:
    """True for ``.nii`` and ``.nii.gz``."""
    return path.name.lower().endswith(_NIFTI)


def is_nibabel_name(path: Path) -> bool:
    """True for every suffix of which `is_nibabel_file` speaks."""
    return bool(suffix_of(path))


def is_nibabel_file(path: Path) -> bool:
    """Whether nibabel is to read the file, by its name; a DICOM file by its content never is.

    True for NIfTI and Analyze (``.nii``, ``.nii.gz``, ``.hdr``, ``.img``, ``.img.gz``), FreeSurfer
    (``.mgh``, ``.mgz``), AFNI (``.HEAD``, ``.BRIK``, ``.BRIK.gz``), MINC (``.mnc``) and Philips
    (``.PAR``, ``.REC``), in capitals or not.
    """
    suffix = suffix_of(path)
    if not suffix:
        return False
    start = start_of(path)
    if is_dicom(start):
        return False
    if suffix in _SINGLE:
        return True
    is_alone = suffix in _DATA and header_of(path) == path
    return not (is_alone and start.startswith(_DICOM_GROUPS))


def suffix_of(path: Path) -> str:
    """The suffix, in small letters, by which the kind of file is known; empty for all others."""
    name = path.name.lower()
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The name without that suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def header_of(path: Path) -> Path:
    """The header of a data file, where it lies beside it; else the file itself."""
    wanted = _DATA.get(suffix_of(path))
    if wanted is None:
        return path
    return _beside(path, wanted) or (_beside(path, ".hdr.gz") if wanted == ".hdr" else None) or path


def data_of(header: Path) -> Path:
    """The file with the voxels: the header's partner, or the file itself where it holds both.

    Raises
    ------
    UnsupportedStudyError
        Where one of the two is missing.
    """
    suffix = suffix_of(header)
    if suffix in _DATA:
        raise _alone(header, "header", _DATA[suffix])
    if suffix not in _PAIRS:
        return header
    for partner in _PAIRS[suffix]:
        found = _beside(header, partner)
        if found is not None:
            return found
    raise _alone(header, "image data", _PAIRS[suffix][0])


def _alone(path: Path, lacks: str, suffix: str) -> UnsupportedStudyError:
    partner = stem_of(path) + _cased(suffix, path)
    return UnsupportedStudyError(
        NiftiProblem.NO_PARTNER, file=path.name, lacks=lacks, partner=partner
    )


def _beside(path: Path, suffix: str) -> Path | None:
    """The file of the same name with another suffix, written as on this file or otherwise."""
    capital = suffix.upper()
    # "image.BRIK.gz" beside "image.HEAD": capitals in one part only.
    for text in (_cased(suffix, path), suffix, capital, capital.replace(".GZ", ".gz")):
        found = path.with_name(stem_of(path) + text)
        if found.is_file():
            return found
    return None


def _cased(suffix: str, like: Path) -> str:
    own = like.name[len(stem_of(like)) :]
    return suffix.upper() if own.removesuffix(".gz").isupper() else suffix
