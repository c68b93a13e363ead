"""What an image's own file says of it that a network does not see: a case's, and a cohort's.

A network for volumes does not see that one is turned, and a preprocessing that resamples hides
thick slices. A file that says nothing, as a picture, is not compared.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

#: What files and lists call a modality, by DICOM's defined terms; others stand for themselves.
_MODALITIES = {
    "MR": ("MRI", "MAGNETIC RESONANCE", "MAGNETIC RESONANCE IMAGING"),
    "CT": ("COMPUTED TOMOGRAPHY",),
    "PT": ("PET", "POSITRON EMISSION TOMOGRAPHY"),
    "US": ("ULTRASOUND", "ULTRASONOGRAPHY", "IVUS"),
    # Plain X-rays: which of the terms a device writes says nothing about the picture.
    "X-ray": ("CR", "DX", "RG", "XR", "XRAY", "X RAY", "RADIOGRAPH", "RADIOGRAPHY"),
    "MG": ("MAMMOGRAPHY",),
    **dict.fromkeys(("XA", "RF", "NM", "OPT", "OP", "ES", "GM", "SM", "IO", "PX"), ()),
    # Said by objects of any kind: nothing is known.
    "": ("OT", "SC", "UNKNOWN", "NONE", "N A", "NA"),
}
_MODALITY_OF = {name: term for term, names in _MODALITIES.items() for name in names}
#: Spacing and size may leave the cohort's range by this factor.
_TOLERANCE = 1.25
#: The turn against the patient's axes may exceed the cohort's largest by this much, in degrees.
_TOLERANCE_DEGREES = 15.0
#: What an analysis file may call a modality or axes, and lengths in mm beyond which there is none.
_MODALITY, _LETTERS = re.compile(r"\S[ \S]{0,63}"), re.compile("[LRPAIS?]{1,3}")
_LEAST_LENGTH, _MOST_LENGTH = 1e-9, 1e9
#: Modalities of a mixed cohort that are named.
_MOST_NAMED = 6
#: What the ends of an axis are called, in nibabel's letters.
_TOWARDS = {
    **{"L": "left", "R": "right", "P": "posterior", "A": "anterior"},
    **{"I": "inferior", "S": "superior"},
}
_MEASURED = {
    "spacing": ("the distance of its voxels is", "that of the reference images is"),
    "size": ("it measures", "the reference images measure"),
}
_AXES = ("inferior to superior", "anterior to posterior", "right to left")

Triple = tuple[float, float, float]


def modality_of(text: str) -> str:
    """A modality by its DICOM term; empty where nothing is said."""
    plain = " ".join(re.sub(r"[^A-Z0-9]+", " ", text.upper()).split())
    return _MODALITY_OF.get(plain, plain)


@dataclass(frozen=True)
class Header:
    """What the file of one case says; empty or None where it says nothing.

    Attributes
    ----------
    modality : DICOM's term for it.
    axes : where the axes of the network's input lead in the patient, in nibabel's letters: "RAS".
    angle : largest angle between one of these axes and the patient's, in degrees.
    spacing : distance of voxels along (I, P, L) in mm, of the file or of what the network gets of
        it, whichever is larger: detail that preprocessing takes away makes no difference.
    size : of the whole image along (I, P, L), in mm.
    """

    modality: str = ""
    axes: str = ""
    angle: float | None = None
    spacing: Triple | None = None
    size: Triple | None = None

    @classmethod
    def of(cls, volume: Volume, image: MetaTensor) -> Header:
        """Of an opened image, and of what the network gets of it, ``[C, *spatial]``."""
        modality = modality_of(volume.modality)
        report = volume.report
        if not volume.source.placed or report.unverified or volume.is_picture:
            return cls(modality)
        axes, angle, spacing = _seen(image)
        a, b, c = np.maximum(volume.spacing, spacing).tolist()
        d, e, f = np.multiply(volume.shape, volume.spacing).tolist()
        return cls(modality, axes, angle, (a, b, c), (d, e, f))


def _seen(image: MetaTensor) -> tuple[str, float, list[float]]:
    """Of the network's input: where its axes lead, their turn, the spacing along (I, P, L).

    Axes that an input in two dimensions lacks are left out, and have no spacing: 0.
    """
    from nibabel.orientations import aff2axcodes, io_orientation

    from napari_ifa.models.preprocessing import input_lps_affine
    from napari_ifa.volumes.volume import LPS_TO_RAS

    affine = LPS_TO_RAS @ input_lps_affine(image)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    number = image.ndim - 1
    letters = "".join(letter or "?" for letter in aff2axcodes(affine))[:number]
    cosines = np.abs(affine[:3, :3] / lengths).max(axis=0)[:number]
    spacing = [0.0, 0.0, 0.0]
    for axis, (towards, _) in enumerate(io_orientation(affine)[:number]):
        # nibabel counts right, anterior, superior.
        if np.isfinite(towards):
            spacing[2 - int(towards)] = float(lengths[axis])
    return letters, float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).max()), spacing


@dataclass(frozen=True)
class HeaderSummary:
    """What the files of a cohort say, together.

    Attributes
    ----------
    modalities, axes : cases by what they say; those that say nothing are left out.
    angle : the largest.
    spacing, size : least and greatest along (I, P, L), in mm.
    """

    modalities: Mapping[str, int]
    axes: Mapping[str, int]
    angle: float | None = None
    spacing: tuple[Triple, Triple] | None = None
    size: tuple[Triple, Triple] | None = None

    @classmethod
    def of(cls, headers: Iterable[Header]) -> HeaderSummary:
        """Of all cases of a cohort, in any order."""
        found = list(headers)
        angles = [header.angle for header in found if header.angle is not None]
        return cls(
            modalities=_sorted(Counter(h.modality for h in found if h.modality)),
            axes=_sorted(Counter(h.axes for h in found if h.axes)),
            angle=max(angles, default=None),
            spacing=_range([header.spacing for header in found]),
            size=_range([header.size for header in found]),
        )

    def as_text(self) -> str:
        """As JSON, for the analysis file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> HeaderSummary:
        """From the analysis file.

        Raises
        ------
        ValueError
            Where it holds anything else, or numbers that no image has.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or set(content) != set(cls.__dataclass_fields__):
            raise ValueError("not the entries of a header's summary")
        angle = content["angle"]
        if angle is not None and not (_is_number(angle) and 0 <= angle <= 90):
            raise ValueError("no angle")
        return cls(
            _checked_counts(content["modalities"], _MODALITY),
            _checked_counts(content["axes"], _LETTERS),
            angle,
            _checked_range(content["spacing"]),
            _checked_range(content["size"]),
        )

    def differences(self, header: Header, stated: str = "") -> Iterator[tuple[str, str]]:
        """What of a case's header no case of the cohort has: in a word, and in a sentence.

        ``stated`` is the modality that the model is made for, for a cohort that says none; it
        counts where it is one of DICOM's, for a bundle may call it anything.
        """
        made_for = modality_of(stated) if modality_of(stated) in _MODALITIES else ""
        known = list(self.modalities) or ([made_for] if made_for else [])
        if header.modality and known and header.modality not in known:
            whose = "the reference cases are" if self.modalities else "the model is made for"
            named = known[:_MOST_NAMED]
            if more := len(known) - len(named):
                named.append(f"one of {more} more")
            yield (
                "modality",
                f"Modality: this image is {header.modality}; {whose} {' or '.join(named)}.",
            )
        if orientation := self._orientation(header):
            yield "orientation", orientation
        for word, own, cohort in (
            ("spacing", header.spacing, self.spacing),
            ("size", header.size, self.size),
        ):
            if own is not None and cohort is not None:
                for axis, mm, least, most in zip(_AXES, own, *cohort, strict=True):
                    if not least / _TOLERANCE <= mm <= most * _TOLERANCE:
                        yield word, _beyond(word, axis, mm, least, most)
                        break

    def _orientation(self, header: Header) -> str:
        if header.axes and self.axes and header.axes not in self.axes:
            known = " or ".join(_in_words(axes) for axes in list(self.axes)[:3])
            return (
                f"Orientation: the axes of what the model sees lead {_in_words(header.axes)}; in"
                f" the reference they lead {known}."
            )
        if header.angle is None or self.angle is None:
            return ""
        if header.angle <= self.angle + _TOLERANCE_DEGREES:
            return ""
        return (
            f"Orientation: this image is turned by {header.angle:.0f}° against the patient's axes;"
            f" the reference cases are by up to {self.angle:.0f}°."
        )


def _beyond(word: str, axis: str, mm: float, least: float, most: float) -> str:
    what, whose = _MEASURED[word]
    low, high = _millimetres(least), _millimetres(most)
    usual = low if low == high else f"{low} to {high}"
    return f"{word.capitalize()}: {what} {_millimetres(mm)} mm from {axis}; {whose} {usual} mm."


def _millimetres(value: float) -> str:
    """Three digits, or all before the point: 0.488, 12.5, 1234."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def _in_words(axes: str) -> str:
    return ", ".join(_TOWARDS.get(letter, "nowhere") for letter in axes)


def _range(values: list[Triple | None]) -> tuple[Triple, Triple] | None:
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return None
    least, most = known.min(axis=0).tolist(), known.max(axis=0).tolist()
    return (least[0], least[1], least[2]), (most[0], most[1], most[2])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _checked_counts(value: Any, name: re.Pattern[str]) -> dict[str, int]:
    counts = value.values() if isinstance(value, dict) else [0]
    if not all(type(count) is int and 0 < count < 2**53 for count in counts):
        raise ValueError("no counts")
    if not all(name.fullmatch(text) for text in value):
        raise ValueError("names that no header has")
    return _sorted(value)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _checked_range(value: Any) -> tuple[Triple, Triple] | None:
    if value is None:
        return None
    flat = [number for side in value for number in side]
    possible = all(_is_number(mm) and _LEAST_LENGTH <= mm <= _MOST_LENGTH for mm in flat)
    if len(value) != 2 or len(flat) != 6 or not possible:
        raise ValueError("no range of millimetres")
    if any(low > high for low, high in zip(*value, strict=True)):
        raise ValueError("a range upside down")
    (a, b, c), (d, e, f) = value
    return (a, b, c), (d, e, f)
