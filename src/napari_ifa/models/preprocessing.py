"""A bundle's preprocessing with the opened image in the place of its file loader.

The network must see what MONAI's own loader would have given it: the image in its file's own axis
order, with its affine. Every later transform is the bundle's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.errors import BundleError, ExplanationError, IfaError
from napari_ifa.models.cost import images_bounded
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose

#: Transforms that move voxels, or drop the type that tracks them, without noting it; named
#: without "Rand" before or the dictionary suffix behind.
_UNTRACKED = (
    "2DElastic",
    "3DElastic",
    "CoarseShuffle",
    "GridDistortion",
    "GridPatch",
    "GridSplit",
    "ToCupy",
    "ToNumpy",
    "ToPIL",
    "Transpose",
)
#: Rows and columns of an image changed, in a ``[4, 4]`` affine.
_SWAPPED = [1, 0, 2, 3]


class OpenedImage:
    """Stands in for ``LoadImage`` and ``LoadImaged``: hands on an image that is already open.

    Takes the loader's own options that change what the network sees: the type of the values, the
    place of the channels, and for a picture which of rows and columns comes first.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        keys = arguments.get("keys")
        names: Sequence[Hashable] = [keys] if isinstance(keys, str) else list(keys or [])
        if len(names) > 1:
            raise BundleError(
                f"The bundle's preprocessing loads {len(names)} images; bundles with one input"
                " image can be explained."
            )
        self.key = names[0] if names else None
        self._dtype = arguments.get("dtype", np.float32)
        self._channel_first = bool(arguments.get("ensure_channel_first", False))
        # PILReader's own option, under the name that it has there.
        self._rows_first = not arguments.get("reverse_indexing", True)

    def __call__(self, data: Any) -> Any:
        if self.key is None:
            return self._open(data)
        return {**data, self.key: self._open(data[self.key])}

    def picture_place(self, picture: Volume) -> Affine:
        """``[4, 4]``: index of an image without a place, as the chain begins with it → RAS mm.

        MONAI's readers know no position there, so that the chain begins at one of their own, which
        an ``Orientation`` or ``Spacing`` in it goes by.
        """
        _, place = picture.in_source_order()
        place = place[:, _SWAPPED] if self._swaps(picture) else place
        return np.asarray(place @ np.linalg.inv(self._beginning(picture)))

    def _beginning(self, picture: Volume) -> Affine:
        """The affine that MONAI gives an image without a place.

        ``PILReader``'s is the identity; ``PydicomReader`` changes rows and columns of it, as it
        does of the image.
        """
        identity = np.eye(4)
        return identity[:, _SWAPPED] if picture.source.kind == "dicom" else identity

    def _swaps(self, picture: Volume) -> bool:
        return self._rows_first and picture.source.kind == "image"

    def _open(self, volume: Volume) -> MetaTensor:
        from monai.data import MetaTensor
        from monai.transforms import EnsureChannelFirst
        from monai.utils import convert_to_tensor, get_equivalent_dtype

        array, ras_affine = volume.in_source_order()
        if is_flat(volume):
            array = array[:, :, 0]
        placed = volume.source.placed
        if not placed:
            ras_affine = self._beginning(volume)
            if self._swaps(volume):
                array = array.swapaxes(0, 1)
        if self._dtype is not None:
            array = array.astype(get_equivalent_dtype(self._dtype, np.ndarray))
        else:
            array = array.copy()
        colour = volume.array.ndim == 4
        meta: dict[str, Any] = {
            "original_channel_dim": array.ndim - 1 if colour else float("nan"),
            "original_affine": ras_affine.copy(),
            "spatial_shape": np.array(array.shape[:-1] if colour else array.shape),
        }
        if placed:
            meta["space"] = "RAS"
        import torch

        # MONAI's own way to a tensor: torch cannot compute with uint16.
        image = MetaTensor(
            convert_to_tensor(np.ascontiguousarray(array)),
            affine=torch.from_numpy(ras_affine),
            meta=meta,
        )
        return EnsureChannelFirst()(image) if self._channel_first else image


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """From an opened image to the network's input, through the bundle's own transforms."""

    chain: Compose
    image: OpenedImage

    @classmethod
    def from_built(cls, built: Any) -> Preprocessing:
        """Check and wrap what a bundle's configuration built.

        Raises
        ------
        BundleError
            Where the chain does not begin by loading an image, or a transform would lose the
            image's position; the transform is named.
        """
        from monai.transforms import Compose
        from torch import nn

        chain = built if isinstance(built, Compose) else Compose(built)
        steps = chain.flatten().transforms
        if not steps or not isinstance(steps[0], OpenedImage):
            raise BundleError(
                "The bundle's preprocessing does not begin with LoadImage or LoadImaged; add it as"
                " the first transform."
            )
        for step in steps:
            plain = type(step).__name__.removeprefix("Rand").removesuffix("d")
            if plain in _UNTRACKED or isinstance(step, nn.Module):
                raise BundleError(_loses_affine(step))
        return cls(chain, steps[0])

    def __call__(self, volume: Volume) -> MetaTensor:
        """``[C, *spatial]``, the network's input, with its index → RAS affine.

        Raises
        ------
        ExplanationError
            Where a transform fails on this image or loses its position.
        """
        import torch
        from monai.data import MetaTensor

        self.chain.set_random_state(seed=0)
        try:
            # Lazy transforms are fused and cannot be watched one by one.
            data = self._given_to(volume)
            with images_bounded():
                data = self.chain(data) if self.chain.lazy else self._watched(data)
            output = self._taken_from(data)
        except IfaError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ExplanationError(
                f"The model's preprocessing fails on this {_in_words(volume)}: {reason}."
            ) from error
        if not isinstance(output, MetaTensor):
            raise ExplanationError(_loses_affine(self.chain))
        if is_flat(volume) and output.ndim == 4 and output.shape[3] > 1:
            # MONAI's Resize, for one, would give a picture a depth without a word.
            raise ExplanationError(
                f"The model's preprocessing makes {output.shape[3]} slices of this"
                f" {_in_words(volume)}; choose a model for pictures."
            )
        if not volume.source.placed:
            place = self.image.picture_place(volume) @ _in_three_dimensions(output)
            output.affine = torch.from_numpy(place)
        return output

    def _watched(self, data: Any) -> Any:
        """The chain step by step; a step after which the position is not known is named."""
        from monai.data import MetaTensor
        from monai.transforms import EnsureChannelFirst, EnsureChannelFirstd

        before: MetaTensor | None = None
        for step in self.chain.flatten().transforms:
            data = step(data)
            image = self._taken_from(data)
            if not isinstance(image, MetaTensor) or (
                before is not None
                # Brings the channels of a colour image to the front and leaves the grid alone.
                and not isinstance(step, EnsureChannelFirst | EnsureChannelFirstd)
                and _changed_unnoted(before, image)
            ):
                raise ExplanationError(_loses_affine(step))
            before = image
        return data

    def _given_to(self, volume: Volume) -> Any:
        return volume if self.image.key is None else {self.image.key: volume}

    def _taken_from(self, data: Any) -> Any:
        return data if self.image.key is None else data[self.image.key]


def input_lps_affine(image: MetaTensor) -> Affine:
    """Index of the network's input → LPS mm, ``[4, 4]``; a 2D input lies in its own plane."""
    return LPS_TO_RAS @ _in_three_dimensions(image)


def _in_three_dimensions(image: MetaTensor) -> Affine:
    """The affine as ``[4, 4]``; a 2D one lies in its own plane."""
    affine = np.eye(4)
    given = np.asarray(image.affine, dtype=float)
    size = given.shape[0] - 1
    affine[:size, :size] = given[:size, :size]
    affine[:size, 3] = given[:size, size]
    return affine


def _changed_unnoted(before: MetaTensor, after: MetaTensor) -> bool:
    """Whether the grid has another size although nothing says that it was changed."""
    return (
        before.ndim == after.ndim
        and before.shape[1:] != after.shape[1:]
        and len(before.applied_operations) == len(after.applied_operations)
        and np.array_equal(np.asarray(before.affine), np.asarray(after.affine))
    )


def is_flat(volume: Volume) -> bool:
    """Whether MONAI's readers give the image with two axes instead of three.

    So they do with a picture, a DICOM image of one slice, and a NIfTI file of two axes.
    """
    header = volume.source.header
    if header is not None:
        return len(header.get_data_shape()) == 2
    one_slice = volume.shape[volume.source.axes.index(2)] == 1
    return volume.is_picture or (volume.source.kind == "dicom" and one_slice)


def _in_words(volume: Volume) -> str:
    if volume.is_picture:
        return f"picture of {volume.shape[1]} rows and {volume.shape[2]} columns"
    return f"image of shape {volume.shape}"


def _loses_affine(step: Any) -> str:
    return (
        f"The model's preprocessing loses the image's position at '{type(step).__name__}'; use a"
        " MONAI transform that keeps the affine."
    )
