"""One image in patient space, with one convention for its axes.

Axes are (I, P, L): the index grows towards the patient's inferior, posterior and left, so that
axial, coronal and sagittal planes appear as a radiologist expects them without any flip.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import IfaError
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.problems import ImageProblem
from napari_ifa.volumes.value_range import full_range, usual_range

Affine = NDArray[np.float64]
#: DICOM's words for what the two numbers of a window mean.
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

#: Unit vectors of the (I, P, L) world, in LPS patient coordinates, as columns.
IPL_IN_LPS: Affine = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])

#: LPS (DICOM, this project) to RAS (NIfTI, MONAI) and back: x and y change sign.
LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])

_PLANE_BY_SLICE_AXIS = ("axial", "coronal", "sagittal")
#: Angles below this (degrees) are a rounding of the header, not an oblique acquisition.
_OBLIQUE_DEGREES = 0.1
#: Where a sigmoid comes within half of one of 255 grey levels of black or white, in half widths:
#: 1 / (1 + exp(-4 x / width)) = 1 / 510 at x = -ln(509) / 4 width.
_SIGMOID_SHOWN = 3.1162


@dataclass(frozen=True)
class Window:
    """How values become brightness: black at the lower limit and below, white at the upper one.

    Attributes
    ----------
    center, width : in the units of the image, as the file or custom states them.
    name : what a person chooses it by.
    curve : brightness, 0 (black) to 1 (white), at evenly spaced values from the lower limit to the
        upper one; its first and last hold below and above. Empty for a straight line from black
        to white.
    function : what center and width mean. ``LINEAR`` is DICOM's default, made for whole numbers:
        ``center - 0.5 ± (width - 1) / 2`` (PS3.3 C.11.2.1.2.1). ``LINEAR_EXACT`` is
        ``center ± width / 2`` (C.11.2.1.3.2). ``SIGMOID`` (C.11.2.1.3.1) has a ``curve``.
    """

    center: float
    width: float
    name: str = ""
    curve: tuple[float, ...] = field(default=(), repr=False)
    function: WindowFunction = "LINEAR_EXACT"

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value shown, in the units of the image; never equal."""
        center, half = self.center, self.width / 2
        if self.function == "LINEAR":
            center, half = center - 0.5, (self.width - 1) / 2
            if half <= 0:
                # A threshold: whatever lies above is white, as the next half of a unit does.
                return center, center + 0.5
        elif self.function == "SIGMOID":
            half *= _SIGMOID_SHOWN
        return center - half, center + half


@dataclass(frozen=True)
class SourceOrder:
    """How the canonical axes lie in the file: its axis order, and what its writer needs.

    Canonical axis ``a`` is the file's axis ``axes[a]``, reversed where ``flips[a]``.

    Attributes
    ----------
    placed : whether the file says where the image lies in the patient.
    header : the NIfTI header of the file, or None.
    frames : what the reader knows of the slices, in the file's order; None stands for a slice that
        is missing.
    computed : whether the values were computed from an image, as those of a DICOM parametric map.
    archive : keeps what was unpacked from an archive on disk for as long as it is needed.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    kind: Literal["nifti", "dicom", "image", "memory"] = "memory"
    placed: bool = True
    header: Any = None
    frames: tuple[Any, ...] = field(default=(), repr=False)
    computed: bool = False
    archive: Any = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in patient space.

    Attributes
    ----------
    array : ``[I, P, L]``, native byte order; a colour image has a fourth axis of channels.
        Values are what the modality means (HU for CT).
    affine : ``[4, 4]`` float64, voxel index (i, p, l, 1) to LPS millimetres, at voxel centres.
    source : the file's own axis order.
    modality, description : of the series, never of the patient.
    windows : display windows that the file offers.
    inverted : shown with its lowest value white (MONOCHROME1); the values are not touched.
    report : what was corrected or is missing.
    """

    array: NDArray[Any]
    affine: Affine
    source: SourceOrder = SourceOrder()
    modality: str = ""
    description: str = ""
    windows: tuple[Window, ...] = ()
    inverted: bool = False
    report: GeometryReport = field(default_factory=GeometryReport)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along (I, P, L)."""
        i, p, left = self.array.shape[:3]
        return i, p, left

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (I, P, L), in mm."""
        i, p, left = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(p), float(left)

    @property
    def translate(self) -> tuple[float, float, float]:
        """Position of the first voxel in the (I, P, L) = (−z, y, x) world, in mm."""
        i, p, left = IPL_IN_LPS.T @ self.affine[:3, 3]
        return float(i), float(p), float(left)

    @property
    def oblique_degrees(self) -> float:
        """Largest angle between an array axis and its patient axis, in degrees."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        cosines = np.clip(np.sum(directions * IPL_IN_LPS, axis=0), -1.0, 1.0)
        angle = float(np.degrees(np.arccos(cosines)).max())
        return angle if angle >= _OBLIQUE_DEGREES else 0.0

    @property
    def is_colour(self) -> bool:
        """Whether the values are colours, in a fourth axis."""
        return self.array.ndim == 4

    @property
    def is_picture(self) -> bool:
        """One image whose place in the patient and whose size are not known, as a photograph."""
        return not self.source.placed and self.shape[0] == 1

    @property
    def plane(self) -> str:
        """The acquisition plane in words, from the source's own slice axis."""
        if self.is_picture:
            return "picture"
        if not self.source.placed:
            return "2D stack"
        slice_axis = self.source.axes.index(2)
        angle = self.oblique_degrees
        plane = _PLANE_BY_SLICE_AXIS[slice_axis]
        return f"oblique {plane} {angle:.0f}°" if angle >= 1 else plane

    @cached_property
    def full_range(self) -> tuple[float, float]:
        """Least and greatest value; found once, since it takes a look at every voxel."""
        return full_range(self.array)

    @cached_property
    def usual_range(self) -> tuple[float, float]:
        """From the 0.5th to the 99.5th percentile; found once."""
        return usual_range(self.array)

    def with_array(self, array: NDArray[Any], description: str | None = None) -> Volume:
        """Other values ``[I, P, L]`` on the same grid, as an explanation is.

        Raises
        ------
        ValueError
            Where the shape is not the grid's.
        """
        if array.shape[:3] != self.array.shape[:3]:
            raise ValueError(f"array of shape {array.shape} on a grid of shape {self.shape}")
        text = self.description if description is None else description
        return replace(self, array=array, description=text, windows=(), inverted=False)

    def in_source_order(self) -> tuple[NDArray[Any], Affine]:
        """The values in the file's own axis order, and its index → RAS affine.

        This is what MONAI's readers give a network, and what a NIfTI file holds.
        """
        flipped = [a for a in range(3) if self.source.flips[a]]
        array = np.flip(self.array, tuple(flipped))
        to_file = np.argsort(self.source.axes).tolist()
        array = array.transpose(*to_file, *range(3, array.ndim))
        canonical_from_file = _index_map(self.source.axes, self.source.flips, self.shape)
        return array, LPS_TO_RAS @ self.affine @ canonical_from_file


def volume_from_file_order(
    array: NDArray[Any],
    lps_affine: Affine,
    source: SourceOrder,
    *,
    modality: str = "",
    description: str = "",
    windows: tuple[Window, ...] = (),
    inverted: bool = False,
    report: GeometryReport | None = None,
) -> Volume:
    """Bring an array in its file's axis order to the canonical axes, without copying.

    Parameters
    ----------
    array : ``[x, y, z]`` or ``[x, y, z, channels]`` in the file's order.
    lps_affine : ``[4, 4]``, file index → LPS mm.
    source : where it came from; its axes and flips are found here.
    report : what the reader corrected or misses; ``missing`` counts along the file's third axis.
        Plane, spacing and angle are found here.
    """
    import nibabel

    # io_orientation speaks of the axes of the affine's world: here (I, P, L).
    world = np.eye(4)
    world[:3, :3] = IPL_IN_LPS.T
    orientation = nibabel.orientations.io_orientation(world @ lps_affine)
    axes = [0, 0, 0]
    flips = [False, False, False]
    for file_axis, (canonical_axis, direction) in enumerate(orientation):
        axes[int(canonical_axis)] = file_axis
        flips[int(canonical_axis)] = bool(direction < 0)
    canonical = array.transpose(*axes, *range(3, array.ndim))
    canonical = np.flip(canonical, tuple(a for a in range(3) if flips[a]))
    order = replace(source, axes=(axes[0], axes[1], axes[2]), flips=(flips[0], flips[1], flips[2]))
    shape = (canonical.shape[0], canonical.shape[1], canonical.shape[2])
    affine = lps_affine @ np.linalg.inv(_index_map(order.axes, order.flips, shape))
    volume = Volume(canonical, affine, order, modality, description, windows, inverted)
    found = report or GeometryReport()
    if order.flips[axes.index(2)]:
        last = array.shape[2] - 1
        found = replace(found, missing=tuple(sorted(last - k for k in found.missing)))
    return replace(
        volume,
        report=replace(
            found,
            plane=volume.plane,
            spacing_mm=volume.spacing if order.placed else None,
            oblique_degrees=volume.oblique_degrees,
        ),
    )


def check_complete(volume: Volume, error: type[IfaError]) -> None:
    """Refuse an image of which slices are missing by an error of the class given."""
    count = len(volume.report.missing)
    if count:
        slices = "1 slice of this image is" if count == 1 else f"{count} slices of this image are"
        raise error(ImageProblem.MISSING_SLICES, slices=slices, count=count)


def _index_map(
    axes: tuple[int, int, int], flips: tuple[bool, bool, bool], shape: tuple[int, int, int]
) -> Affine:
    """``[4, 4]``: file index → canonical index."""
    matrix = np.eye(4)
    matrix[:3, :3] = 0.0
    for canonical_axis in range(3):
        matrix[canonical_axis, axes[canonical_axis]] = -1.0 if flips[canonical_axis] else 1.0
        matrix[canonical_axis, 3] = shape[canonical_axis] - 1.0 if flips[canonical_axis] else 0.0
    return matrix
