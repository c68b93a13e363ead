"""An explanation as napari can show it: a lazy array on the image's grid, and its colours.

Only the slice on show is ever interpolated, and switching a feature off or on subtracts or adds
one term on the feature grid.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.utils.colormaps import Colormap

    from napari_ifa.analysis import CommonScale, Explanation
    from napari_ifa.volumes import Volume

#: Opacity at the ends of the scale in 3D, where a ray adds up many samples.
OPACITY_3D = 0.3
#: Control points on each side of neutral; the strongest colour lies at each side's own end.
_SHARES = np.array([0.0, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0])


class ActivationOverlay:
    """S-CAM values on the grid of the image, computed where they are looked at.

    Without a common scale the values are the raw class activation, in units of the logit.
    Outside the network's field of view they are NaN, which is drawn transparent.

    Attributes
    ----------
    shape, dtype, ndim : of an array ``[I, P, L]`` of float32.
    volume : the image that was explained.
    activation : class activation of the kept features on the feature grid, ``[*grid]`` float64.
    limits : where the colours end.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, explanation: Explanation) -> None:
        grid = explanation.grid
        features = explanation.weighted_features
        self.volume = explanation.volume
        self.shape = explanation.volume.shape
        self.scale = explanation.scale
        self.sampler = grid.onto(explanation.volume)
        self._terms = features.reshape(len(features), *grid.shape)
        self._keep = np.array(explanation.mask.keep, dtype=bool)
        self.activation = self._fresh_sum(self._keep)
        end = 1.0 if self.scale is not None else explanation.largest
        self.limits = (-end, end)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def keep(self) -> NDArray[np.bool_]:
        """Which features are in the sum, ``[F]``."""
        return self._keep.copy()

    @property
    def neutral(self) -> float:
        """The value of zero contribution: tanh β on the common scale, 0 without one."""
        return float(self.scale.neutral) if self.scale is not None else 0.0

    def keep_features(self, keep: NDArray[np.bool_]) -> None:
        """Take features into the sum or out of it, ``[F]``."""
        keep = np.asarray(keep, dtype=bool)
        changed = np.flatnonzero(keep != self._keep)
        if 2 * changed.size > keep.size:
            self.activation = self._fresh_sum(keep)
        else:
            # A new array each time: another thread may be drawing from the old one. A float64 sum
            # of float32 terms keeps thousands of ± steps exact to display.
            for feature in changed:
                sign = 1.0 if keep[feature] else -1.0
                self.activation = self.activation + sign * self._terms[feature]
        self._keep = keep.copy()

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        slices, squeezed = _as_slices(key, self.shape)
        values = self._scaled(self.sampler.block(self.activation, slices))
        return values.squeeze(squeezed) if squeezed else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self[:, :, :]
        return values if dtype is None else values.astype(dtype, copy=False)

    def astype(self, dtype: Any) -> NDArray[Any]:
        """All values in another type, as napari asks for them to make labels of an image."""
        values = self[:, :, :]
        whole = np.issubdtype(np.dtype(dtype), np.integer)
        return (np.nan_to_num(values) if whole else values).astype(dtype)

    def __deepcopy__(self, memo: Any) -> ActivationOverlay:
        """A copy that stays as it is: no array is ever changed in place, so all are shared."""
        return copy(self)

    def _fresh_sum(self, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        return self._terms[keep].sum(axis=0, dtype=np.float64)

    def _scaled(self, activation: NDArray[np.float32]) -> NDArray[np.float32]:
        return activation if self.scale is None else self.scale(activation).astype(np.float32)


class CoarseActivation:
    """Raw class activation on a coarse grid in the planes of the image, small enough for 3D.

    The grid is at least twice as fine as the features', so that linear interpolation on the
    graphics card loses next to nothing, and lies along the image, so that napari draws it
    unrotated.
    """

    def __init__(self, overlay: ActivationOverlay, image: Volume) -> None:
        self._overlay = overlay
        grid_spacing = np.linalg.norm(overlay.sampler.grid.affine[:3, :3], axis=0).min()
        step = np.maximum(1, np.floor(grid_spacing / 2 / np.array(image.spacing))).astype(int)
        to_image = np.diag([*step.astype(float), 1.0])
        to_image[:3, 3] = (step - 1) / 2
        shape = np.ceil(np.array(image.shape) / step).astype(int)
        nothing = np.broadcast_to(np.float32(0), shape)
        self.volume = replace(image, array=nothing, affine=image.affine @ to_image)
        self._sampler = overlay.sampler.grid.onto(self.volume)

    def activation(self) -> NDArray[np.float32]:
        """Values of the kept features; 0, which is drawn transparent, outside the field of view."""
        return np.nan_to_num(self._sampler.volume(self._overlay.activation), copy=False)


def diverging_colormap(neutral: float, opacity: float = 1.0) -> Colormap:
    """Blue against, red for, transparent at ``neutral``, on a scale from −1 to 1.

    Each side is scaled to its own end: otherwise positives look pale where tanh β > 0.
    """
    against = neutral - _SHARES[::-1] * (neutral + 1)
    towards = neutral + _SHARES * (1 - neutral)
    # Just below and just above neutral: the colour changes there, between transparent points.
    against[-1], towards[0] = neutral - 1e-6, neutral + 1e-6
    values = np.concatenate([against, towards])
    return _colormap(values, neutral, (values + 1) / 2, opacity)


def diverging_colormap_3d(scale: CommonScale) -> tuple[Colormap, tuple[float, float]]:
    """Colours and limits for raw class activation, with the tanh of the scale in the colours.

    The graphics card then interpolates the small feature grid first and scales after.
    """
    first, last = (np.arctanh(np.array([-0.995, 0.995])) - scale.beta) / scale.alpha
    activation = np.linspace(first, last, 129)
    colormap = _colormap(
        scale(activation), scale.neutral, np.linspace(0, 1, activation.size), OPACITY_3D
    )
    return colormap, (float(first), float(last))


def _colormap(
    s_cam: NDArray[Any], neutral: float, controls: NDArray[Any], opacity: float
) -> Colormap:
    from napari.utils.colormaps import Colormap

    # Imported late: with it comes torch, which a study alone does not need.
    from napari_ifa.analysis.colour import diverging_colours

    colours = diverging_colours(s_cam, neutral)
    colours[:, 3] *= opacity
    controls = np.clip(controls, 0.0, 1.0)
    controls[0], controls[-1] = 0.0, 1.0
    return Colormap(colours, controls=controls, name="against-for", nan_color=np.zeros(4))


def _as_slices(
    key: Any, shape: tuple[int, int, int]
) -> tuple[tuple[slice, slice, slice], tuple[int, ...]]:
    """Three slices for any basic index, and the axes that integers take away."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (4 - len(parts))
    parts += [slice(None)] * (3 - len(parts))
    squeezed = tuple(axis for axis, part in enumerate(parts) if not isinstance(part, slice))
    for axis in squeezed:
        index = range(shape[axis])[int(parts[axis])]
        parts[axis] = slice(index, index + 1)
    return (parts[0], parts[1], parts[2]), squeezed
