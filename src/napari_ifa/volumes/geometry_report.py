"""What a reader found of an image's geometry, corrected in it, or missed: as data and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from napari_ifa.errors import IfaError
from napari_ifa.wording import counted


class Note(str):
    """One sentence for a person, which also says to code what it is about.

    Attributes
    ----------
    kind : what is said; None where nothing depends on it.
    facts : the numbers and names that the sentence is made of, by name.
    """

    kind: Enum | None
    facts: dict[str, Any]

    def __new__(cls, text: str | Enum, kind: Enum | None = None, **facts: Any) -> Note:
        """A sentence, its kind, and its facts; a kind alone brings its sentence with it."""
        if isinstance(text, Enum):
            kind, text = text, text.value.format(**facts)
        note = super().__new__(cls, text)
        note.kind, note.facts = kind, facts
        return note

    @classmethod
    def of(cls, error: IfaError) -> Note:
        """The sentence of an error, with its kind and facts."""
        return cls(str(error), error.kind, **error.facts)


@dataclass(frozen=True)
class GeometryReport:
    """The geometry of one Volume.

    Attributes
    ----------
    plane : of acquisition, in words: ``"axial"``, ``"oblique sagittal 15°"``, ``"picture"``.
    spacing_mm : along (I, P, L); None where the size of a voxel is not known.
    oblique_degrees : largest angle between an array axis and its patient axis.
    tilt_degrees : gantry tilt that was corrected by resampling; 0 for none.
    shifted_mm : how far slices lay from one another's normals, on no straight line, where each was
        brought to its place by resampling; 0 for none.
    slice_distances_mm : least and greatest distance of the slices where they were unequal, so
        that slices in between are interpolated; else None.
    sheared : axes that were not at right angles were resampled.
    missing : slices that the source lacks or that were damaged, and that are blank here: indices
        along the slice axis of the Volume's array.
    unverified : the file does not say where left and right are.
    notes : one sentence for each thing that a person should know.
    """

    plane: str = ""
    spacing_mm: tuple[float, float, float] | None = None
    oblique_degrees: float = 0.0
    tilt_degrees: float = 0.0
    shifted_mm: float = 0.0
    slice_distances_mm: tuple[float, float] | None = None
    sheared: bool = False
    missing: tuple[int, ...] = ()
    unverified: bool = False
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Enum, ...]:
        """What the notes are about, of those that say it to code."""
        return tuple(n.kind for n in self.notes if isinstance(n, Note) and n.kind is not None)

    @property
    def resampled(self) -> bool:
        """Whether the values were interpolated onto another grid than the source's."""
        moved = self.tilt_degrees > 0 or self.shifted_mm > 0
        return moved or self.slice_distances_mm is not None or self.sheared

    @property
    def badge(self) -> str:
        """A few words for the viewer, as ``"oblique 15° · tilt 18.5° corrected"``; or none."""
        words = []
        if self.oblique_degrees >= 1:
            words.append(f"oblique {self.oblique_degrees:.0f}°")
        if self.tilt_degrees:
            words.append(f"tilt {self.tilt_degrees:.1f}° corrected")
        if self.shifted_mm:
            words.append("shifted slices")
        if self.slice_distances_mm is not None:
            words.append("slices interpolated")
        if self.sheared:
            words.append("shear corrected")
        if self.missing:
            words.append(f"{counted(len(self.missing), 'slice')} missing")
        if self.unverified:
            words.append("left/right unverified")
        return " · ".join(words)

    def as_data(self) -> dict[str, Any]:
        """All of it as plain values, for a table or JSON."""
        return {**asdict(self), "resampled": self.resampled, "badge": self.badge}
