"""Which sides of the patient the canvas shows, whatever napari's camera and axes do to it.

Numbers and letters only: no layers and no Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import napari

#: What an (I, P, L) axis begins with and ends with.
_ENDS = (("S", "I"), ("A", "P"), ("R", "L"))
_AXES = 3
#: napari's own default. It shows axes that are ordered (I, P, L) as a radiologist expects them.
RADIOLOGICAL = ("towards", "down", "right")
#: Top and left of an axial, a coronal and a sagittal slice.
_USUAL = ("AR", "SR", "SA")
NO_EDGES = ("", "", "", "")


def edges(viewer: napari.Viewer) -> tuple[str, str, str, str]:
    """Letters of the patient's sides at the top, bottom, left and right of a 2D canvas.

    Empty where an edge is no side of the patient: in 3D, or across an axis that the study lacks.
    """
    dims = viewer.dims
    if dims.ndisplay != 2:
        return NO_EDGES
    vertical, horizontal = (_ends(axis, dims.ndim) for axis in dims.order[-2:])
    _, up_or_down, left_or_right = map(str, viewer.scene.camera.orientation)
    if up_or_down == "up":
        vertical = vertical[::-1]
    if left_or_right == "left":
        horizontal = horizontal[::-1]
    return (*vertical, *horizontal)


def unusual_view(viewer: napari.Viewer) -> str:
    """What a radiologist would not expect of the view, in a few words; empty where all is usual.

    Usual are axial, coronal and sagittal slices with the patient's right (in sagittal ones the
    front) on the left and the upper or front side up, and in 3D a view that is not mirrored.
    """
    dims = viewer.dims
    if dims.ndisplay == 3:
        shown = [axis - (dims.ndim - _AXES) for axis in dims.order[-3:]]
        if min(shown) < 0:
            return "3D over an axis that is not the patient's: sides unknown"
        turned = map(str, viewer.scene.camera.orientation)
        flips = sum(a != b for a, b in zip(turned, RADIOLOGICAL, strict=True))
        # An odd order of the axes is a mirror image, as is an odd number of turned axes.
        mirrored = np.linalg.det(np.eye(_AXES)[shown]) * (-1) ** flips < 0
        return "mirrored in 3D: left and right are swapped" if mirrored else ""
    letters = edges(viewer)
    if "" in letters:
        return "not a plane of the patient"
    top, _, left, _ = letters
    if top + left in _USUAL:
        return ""
    return f"unusual orientation: {top} is up, {left} is on the left"


def _ends(axis: int, ndim: int) -> tuple[str, str]:
    # napari puts the axes that a study lacks before its own.
    own = axis - (ndim - _AXES)
    return _ENDS[own] if own >= 0 else ("", "")
