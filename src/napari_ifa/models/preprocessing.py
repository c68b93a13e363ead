"""A bundle's preprocessing with the opened image in the place of its file loader.

The network must see what MONAI's own loader would have given it: the image in its file's own axis
order, with its affine. Every later transform is the bundle's. Where the result lies in the
patient is followed step by step, beside what MONAI's affine says of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_ifa.errors import BundleError, ExplanationError, IfaError
from napari_ifa.memory import lacks_memory
from napari_ifa.models.cost import images_bounded
from napari_ifa.models.landmarks import found_move, moves_alike
from napari_ifa.models.opened_image import OpenedImage, in_words, is_flat
from napari_ifa.models.problems import PreprocessingProblem
from napari_ifa.models.steps import (
    is_fused,
    is_random,
    is_unannounced,
    loses_position,
    nearest_shift,
    run,
    run_alike,
    takes_nearest,
)
from napari_ifa.plain import reason
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose

__all__ = ["OpenedImage", "PreparedInput", "Preprocessing", "input_lps_affine", "is_flat"]


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """What a network gets of an image, and what there is to say about it.

    Attributes
    ----------
    image : ``[C, *spatial]``, with its index → RAS affine.
    notes : one sentence each: what the preprocessing does to this image without saying so.
    """

    image: MetaTensor
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """From an opened image to the network's input, through the bundle's own transforms."""

    chain: Compose
    image: OpenedImage

    @classmethod
    def from_built(cls, built: Any) -> Preprocessing:
        """What a bundle's configuration built, checked.

        BundleError where the chain does not begin by loading an image, or a transform, which is
        named, would lose the image's position.
        """
        from monai.transforms import Compose

        chain = built if isinstance(built, Compose) else Compose(built)
        steps = chain.flatten().transforms
        fused = is_fused(chain)
        if not steps or not isinstance(steps[0], OpenedImage):
            raise BundleError(PreprocessingProblem.NO_LOADER)
        for step in steps:
            if loses_position(step):
                raise _position_lost(BundleError, step)
            if fused and is_unannounced(step):
                raise BundleError(PreprocessingProblem.LAZY, transform=type(step).__name__)
        return cls(chain, steps[0])

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say about the chain, whatever the image; one sentence each."""
        names = [type(step).__name__ for step in self.chain.flatten().transforms if is_random(step)]
        if not names:
            return ()
        listed = ", ".join(f"'{name}'" for name in dict.fromkeys(names))
        return (
            f"The preprocessing draws lots ({listed}); they are drawn with a fixed seed, the same"
            " for every image.",
        )

    def __call__(self, volume: Volume) -> MetaTensor:
        """``[C, *spatial]``, the network's input, with its index → RAS affine; see `prepared`."""
        return self.prepared(volume).image

    def prepared(self, volume: Volume) -> PreparedInput:
        """The network's input with what there is to say about it.

        Raises
        ------
        ExplanationError
            Where a transform fails on this image or loses its position.
        """
        from monai.data import MetaTensor

        self.chain.set_random_state(seed=0)
        try:
            self._refuse_unknown_spacing(volume)
            data = self.image(volume if self.image.key is None else {self.image.key: volume})
            begin = self._taken_from(data)
            # Where the image lies in the patient, against what its affine says: RAS mm → RAS mm.
            seen = self.image.seen(volume)
            moved = seen.place @ np.linalg.inv(_in_three_dimensions(begin))
            notes: list[str] = []
            with images_bounded():
                if is_fused(self.chain):
                    # Lazy transforms are fused and cannot be watched one by one.
                    output = self._taken_from(self.chain.flatten()(data, start=1))
                    if isinstance(output, MetaTensor) and takes_nearest(begin, output):
                        notes.append(
                            "The preprocessing takes nearest voxels in a lazy chain, which cannot"
                            " be followed: the map may lie up to half a voxel of its input aside."
                        )
                else:
                    output, moved = self._watched(data, moved, seen.spatial, notes)
        except IfaError:
            raise
        except Exception as error:
            if lacks_memory(error):
                raise ExplanationError(
                    PreprocessingProblem.NO_MEMORY, image=in_words(volume)
                ) from error
            raise ExplanationError(
                PreprocessingProblem.FAILS, reason=reason(error), image=in_words(volume)
            ) from error
        if not isinstance(output, MetaTensor):
            raise _position_lost(ExplanationError, self.chain)
        if is_flat(volume) and output.ndim == 4 and output.shape[3] > 1:
            # MONAI's Resize, for one, would give a picture a depth without a word.
            raise ExplanationError(
                PreprocessingProblem.MAKES_SLICES, slices=output.shape[3], image=in_words(volume)
            )
        if not np.allclose(moved, np.eye(4), atol=1e-9):
            output.affine = torch.from_numpy(moved @ _in_three_dimensions(output))
        return PreparedInput(output, tuple(notes))

    def _watched(
        self, data: Any, moved: Affine, rank: int, notes: list[str]
    ) -> tuple[MetaTensor, Affine]:
        """The chain step by step, and where its result lies against what its affine says.

        A step after which the position is not known is named in an ExplanationError.
        """
        from monai.data import MetaTensor
        from monai.transforms import EnsureChannelFirst, EnsureChannelFirstd

        before = self._taken_from(data)
        # Until a transform brings them to the front, where the loader has left them.
        channels_last = before.ndim > rank and before.shape[0] != 1
        channels_last &= not self.image.channel_first
        for step in self.chain.flatten().transforms[1:]:
            # Beforehand: a function may change the image that it is given.
            begun = _in_three_dimensions(before)
            unannounced = is_unannounced(step)
            if unannounced:
                result, move = self._followed(step, data, before, rank, channels_last)
            else:
                result, move = run(step, data), None
            image = self._taken_from(result)
            brings_first = isinstance(step, EnsureChannelFirst | EnsureChannelFirstd)
            if not isinstance(image, MetaTensor):
                raise _position_lost(ExplanationError, step)
            if not unannounced and not brings_first and _changed_unnoted(before, image):
                raise _position_lost(ExplanationError, step)
            if move is not None and not self._says(begun, image, move, rank):
                notes.append(
                    f"The preprocessing's '{type(step).__name__}' moves the image without saying"
                    " so; the map lies where landmarks sent through it came from."
                )
                moved = moved @ begun @ move @ np.linalg.inv(_in_three_dimensions(image))
            elif move is None and takes_nearest(before, image, step):
                result = run_alike(step, data)
                image = self._taken_from(result)
                said = np.linalg.inv(begun) @ _in_three_dimensions(image)
                shift = nearest_shift(partial(self._run, step, data), before, said)
                moved = moved @ begun @ shift @ np.linalg.inv(begun)
            channels_last = channels_last and not brings_first and not unannounced
            data, before = result, image
        return before, moved

    def _says(self, begun: Affine, image: MetaTensor, move: Affine, rank: int) -> bool:
        """Whether the image's affine says what the landmarks do."""
        said = np.linalg.inv(begun) @ _in_three_dimensions(image)
        return moves_alike(move, said, [*image.shape[-rank:], 1, 1][:3])

    def _followed(
        self, step: Any, data: Any, before: MetaTensor, rank: int, channels_last: bool
    ) -> tuple[Any, Affine]:
        """A step that does not say what it moves: its result, and where that came from."""
        result = run_alike(step, data)
        axes = list(range(before.ndim))
        if before.ndim > rank:
            axes = axes[:rank] if channels_last else axes[-rank:]

        def another(image: Tensor) -> Tensor | None:
            try:
                made = self._run(step, data, image)
            except Exception:  # somebody else's function, on an image made up here
                return None
            return made if hasattr(made, "ndim") else None

        def result_axes(made: Tensor) -> list[int] | None:
            if made.ndim not in (rank, rank + 1):
                return None
            return list(range(made.ndim))[-rank:]

        move = found_move(another, before, axes, result_axes) if len(axes) == rank else None
        if move is None:
            raise ExplanationError(
                PreprocessingProblem.POSITION_UNKNOWN, transform=type(step).__name__
            )
        whole = np.eye(4)
        whole[:rank, :rank], whole[:rank, 3] = move[:rank, :rank], move[:rank, rank]
        return result, whole

    def _run(self, step: Any, data: Any, image: Tensor) -> Any:
        """What a step makes of another image in the place of the one in the data."""
        given = image if self.image.key is None else {**data, self.image.key: image}
        return self._taken_from(run_alike(step, given))

    def _refuse_unknown_spacing(self, volume: Volume) -> None:
        """ITK finds a size of the pixels of an X-ray that MONAI's other readers do not."""
        unplaced = volume.source.kind == "dicom" and not volume.source.placed
        if not unplaced or self.image.reader_of(volume) != "ITKReader":
            return
        for step in self.chain.flatten().transforms:
            if "Spacing" in type(step).__name__:
                raise ExplanationError(
                    PreprocessingProblem.READER_WITHOUT_POSITION,
                    reader="ITKReader",
                    transform=type(step).__name__,
                )

    def _taken_from(self, data: Any) -> Any:
        return data if self.image.key is None else data[self.image.key]


def input_lps_affine(image: MetaTensor) -> Affine:
    """Index of the network's input → LPS mm, ``[4, 4]``; a 2D input lies in its own plane."""
    return LPS_TO_RAS @ _in_three_dimensions(image)


def _in_three_dimensions(image: MetaTensor) -> Affine:
    """The affine as ``[4, 4]``; a 2D one lies in its own plane."""
    from monai.data.utils import to_affine_nd

    return np.asarray(to_affine_nd(3, image.affine), dtype=float)


def _changed_unnoted(before: MetaTensor, after: MetaTensor) -> bool:
    """Whether the grid has another size although nothing says that it was changed."""
    return (
        before.ndim == after.ndim
        and before.shape[1:] != after.shape[1:]
        and len(before.applied_operations) == len(after.applied_operations)
        and np.array_equal(np.asarray(before.affine), np.asarray(after.affine))
    )


def _position_lost(error: type[IfaError], step: Any) -> IfaError:
    return error(PreprocessingProblem.POSITION_LOST, transform=type(step).__name__)
