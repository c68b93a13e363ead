"""The opened image in the place of MONAI's loader, as that loader would have given it.

``LoadImage`` and ``LoadImaged`` read a file; here the image is open already. What their arguments
and those of their reader make of the file is made of the image: its axes, their order, the type
of its values, where its channels stand, and the affine that the chain begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.models.problems import PreprocessingProblem
from napari_ifa.models.readers import Readers, is_reader_argument
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

#: Arguments of the loader that have no part in the image: whether a missing key is an error, how
#: a path is written, whether metadata may be replaced.
_WITHOUT_EFFECT = ("expanduser", "allow_missing_keys", "overwriting")
_LOADER = (
    "keys",
    "reader",
    "image_only",
    "dtype",
    "ensure_channel_first",
    "simple_keys",
    "prune_meta_pattern",
    "prune_meta_sep",
    "meta_keys",
    "meta_key_postfix",
    *_WITHOUT_EFFECT,
)
#: Rows and columns of an image changed, in a ``[4, 4]`` affine.
_SWAPPED = [1, 0, 2, 3]
#: The order of the three axes changed from first to last.
_REVERSED = [2, 1, 0, 3]


class OpenedImage:
    """Stands in for ``LoadImage`` and ``LoadImaged``: hands on an image that is already open.

    Parameters
    ----------
    arguments : the loader's own, with those for its reader, as a bundle's configuration has them.
    readers : the readers with their arguments, where they are built already.

    BundleError names a reader or an argument that is not reproduced here.
    """

    def __init__(self, arguments: Mapping[str, Any], readers: Readers | None = None) -> None:
        keys = arguments.get("keys")
        names: Sequence[Hashable] = [keys] if isinstance(keys, str) else list(keys or [])
        if len(names) > 1:
            raise BundleError(PreprocessingProblem.SEVERAL_IMAGES, found=len(names))
        self.key = names[0] if names else None
        others = {key: value for key, value in arguments.items() if key not in _LOADER}
        for name in others:
            if not is_reader_argument(name):
                raise BundleError(PreprocessingProblem.LOADER_ARGUMENT, argument=name)
        self._readers = readers or Readers.from_arguments(arguments.get("reader"), others)
        self._dtype = arguments.get("dtype", np.float32)
        self.channel_first = bool(arguments.get("ensure_channel_first", False))
        self._simple_keys = bool(arguments.get("simple_keys", False))
        self._pruned = arguments.get("prune_meta_pattern")
        self._separator = arguments.get("prune_meta_sep", ".")
        self._meta_key = None
        if not arguments.get("image_only", True):
            if self.key is None:
                raise BundleError(PreprocessingProblem.LOADER_ARGUMENT, argument="image_only")
            given = arguments.get("meta_keys")
            given = [given] if isinstance(given, str) else given
            postfix = arguments.get("meta_key_postfix", "meta_dict")
            self._meta_key = given[0] if given else f"{self.key}_{postfix}"

    @classmethod
    def in_place_of(cls, loader: Any) -> OpenedImage:
        """In place of one of MONAI's loaders that is built already."""
        from monai.transforms import LoadImage

        inner = loader if isinstance(loader, LoadImage) else loader._loader
        arguments = {
            "dtype": inner.dtype,
            "ensure_channel_first": inner.ensure_channel_first,
            "image_only": inner.image_only,
            "simple_keys": inner.simple_keys,
            "prune_meta_pattern": inner.pattern,
            "prune_meta_sep": inner.sep,
        }
        if inner is not loader:
            arguments["keys"] = list(loader.keys)
            if any(key is not None for key in loader.meta_keys):
                arguments["meta_keys"] = list(loader.meta_keys)
            arguments["meta_key_postfix"] = loader.meta_key_postfix[0]
        # MONAI registers its own readers first, whatever a bundle names.
        own = len(LoadImage().readers)
        readers = Readers.from_objects(inner.readers[own:], inner.readers[:own])
        return cls(arguments, readers)

    def __call__(self, data: Any) -> Any:
        """The image of a volume; with a key, of the volume under it."""
        if self.key is None:
            return self._open(data)
        image = self._open(data[self.key])
        meta = {} if self._meta_key is None else {self._meta_key: image.meta}
        return {**data, self.key: image, **meta}

    def reader_of(self, volume: Volume) -> str:
        """The name of MONAI's reader whose image of the volume this gives."""
        return self._readers.of(volume)[0]

    def seen(self, volume: Volume) -> SeenImage:
        """The image as the reader gives it, with which the chain begins."""
        reader, arguments = self._readers.of(volume)
        return _SEEN_BY[reader](volume, arguments)

    def _open(self, volume: Volume) -> MetaTensor:
        from monai.data import MetaTensor
        from monai.transforms import EnsureChannelFirst
        from monai.utils import get_equivalent_dtype

        seen = self.seen(volume)
        array = seen.array
        kind = _stored_type(volume) if self._dtype is None else self._dtype
        array = (
            array.copy() if kind is None else array.astype(get_equivalent_dtype(kind, np.ndarray))
        )
        meta: dict[str, Any] = {
            "original_channel_dim": seen.channel_dim,
            "affine": seen.affine.copy(),
            "original_affine": seen.affine.copy(),
            "spatial_shape": np.array(array.shape[: seen.spatial]),
        }
        if seen.space:
            meta["space"] = seen.space
        # MONAI's own way to a tensor: torch cannot compute with uint16.
        image = MetaTensor.ensure_torch_and_prune_meta(
            np.ascontiguousarray(array), meta, self._simple_keys, self._pruned, self._separator
        )
        return EnsureChannelFirst()(image) if self.channel_first else image


@dataclass(frozen=True, eq=False)
class SeenImage:
    """An image as one of MONAI's readers gives it.

    Attributes
    ----------
    array : in the reader's order of axes.
    affine : what the reader says of it; ``[4, 4]``, or ``[3, 3]`` of a 2D image in ITK.
    place : ``[4, 4]``, index of the first three axes → RAS mm, where it truly lies. Not what the
        affine says: MONAI's readers know no place of a picture, and some of their arguments keep
        an affine that is not, or no longer, true.
    spatial : number of axes that are not channels.
    channel_dim : the axis of the channels; NaN without one.
    space : the convention of the affine, in MONAI's letters; empty where it says nothing.
    """

    array: NDArray[Any]
    affine: Affine
    place: Affine
    spatial: int
    channel_dim: float
    space: str = ""


def _by_nibabel(volume: Volume, arguments: Mapping[str, Any]) -> SeenImage:
    array, place = volume.in_source_order()
    if arguments["as_closest_canonical"]:
        array, place = _canonical(volume, array, place)
    array, spatial = _axes(volume, array)
    header = volume.source.header
    stored = () if header is None else tuple(header.get_data_shape())
    if len(stored) > 3 and set(stored[3:]) == {1} and not arguments["squeeze_non_spatial_dims"]:
        array = array.reshape(*array.shape, *stored[3:])
    channel = _channel(volume, array, spatial, arguments["channel_dim"])
    return SeenImage(array, place, place, spatial, channel, "RAS")


def _by_pydicom(volume: Volume, arguments: Mapping[str, Any]) -> SeenImage:
    array, place = volume.in_source_order()
    # MONAI leaves the identity where the file states no place, but for rows and columns.
    affine = place if volume.source.placed else np.eye(4)[:, _SWAPPED]
    if arguments.get("as_closest_canonical"):
        array, place = _canonical(volume, array, place)
        affine = place
    if not arguments["affine_lps_to_ras"] and volume.source.placed:
        affine = LPS_TO_RAS @ affine
    if not arguments["swap_ij"]:
        array = array.swapaxes(0, 1)
        affine, place = affine[:, _SWAPPED], place[:, _SWAPPED]
    array, spatial = _axes(volume, array)
    channel = _channel(volume, array, spatial, arguments["channel_dim"])
    space = "RAS" if arguments["affine_lps_to_ras"] else "LPS"
    return SeenImage(array, affine, place, spatial, channel, space)


def _by_itk(volume: Volume, arguments: Mapping[str, Any]) -> SeenImage:
    array, place = volume.in_source_order()
    if volume.source.kind == "dicom" and np.linalg.det(place[:3, :3]) < 0:
        # ITK sorts slices along the normal of their plane, whatever their numbers.
        array = np.flip(array, 2)
        turned = np.diag([1.0, 1.0, -1.0, 1.0])
        turned[2, 3] = array.shape[2] - 1.0
        place = place @ turned
    affine = place if volume.source.placed else LPS_TO_RAS
    if not arguments["affine_lps_to_ras"]:
        affine = LPS_TO_RAS @ affine
    flat = is_flat(volume) and volume.source.kind != "dicom"
    if flat:
        array, affine = array[:, :, 0], affine[np.ix_([0, 1, 3], [0, 1, 3])]
    spatial = 2 if flat else 3
    channel = _channel(volume, array, spatial, arguments["channel_dim"])
    if arguments["reverse_indexing"]:
        # The array alone; MONAI leaves the affine as it is.
        array = array.transpose(*range(spatial)[::-1], *range(spatial, array.ndim))
        place = place[:, _SWAPPED if flat else _REVERSED]
    space = "RAS" if arguments["affine_lps_to_ras"] else "LPS"
    return SeenImage(array, affine, place, spatial, channel, space)


def _by_pil(volume: Volume, arguments: Mapping[str, Any]) -> SeenImage:
    array, place = volume.in_source_order()
    array = array[:, :, 0]
    if arguments["converter"] is not None:
        array = _converted(array, arguments["converter"])
    channel = float("nan") if array.ndim == 2 else -1
    if not arguments["reverse_indexing"]:
        array, place = array.swapaxes(0, 1), place[:, _SWAPPED]
    return SeenImage(array, np.eye(4), place, 2, channel)


_SEEN_BY: dict[str, Callable[[Volume, Mapping[str, Any]], SeenImage]] = {
    "NibabelReader": _by_nibabel,
    "PydicomReader": _by_pydicom,
    "ITKReader": _by_itk,
    "PILReader": _by_pil,
}


def is_flat(volume: Volume) -> bool:
    """Whether MONAI's readers give the image with two axes instead of three.

    So they do with a picture, a DICOM image of one slice, and a NIfTI file of two axes.
    """
    header = volume.source.header
    if header is not None:
        return len(header.get_data_shape()) == 2
    one_slice = volume.shape[volume.source.axes.index(2)] == 1
    return volume.is_picture or (volume.source.kind == "dicom" and one_slice)


def _axes(volume: Volume, array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    return (array[:, :, 0], 2) if is_flat(volume) else (array, 3)


def _channel(volume: Volume, array: NDArray[Any], spatial: int, told: Any) -> float:
    """The axis of the channels as the reader says it: where they stand, or what it was told."""
    found = float("nan") if array.ndim == spatial else -1.0
    if told is None:
        return found
    if told == "no_channel":
        return float("nan")
    if array.ndim == spatial or told not in (-1, array.ndim - 1):
        raise ExplanationError(
            PreprocessingProblem.READER_AND_IMAGE, argument="channel_dim", image=in_words(volume)
        )
    return float(told)


def _canonical(volume: Volume, array: NDArray[Any], place: Affine) -> tuple[NDArray[Any], Affine]:
    """The axes in the order and direction nearest to right, anterior, superior, as in nibabel."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    if is_flat(volume):
        raise ExplanationError(
            PreprocessingProblem.READER_AND_IMAGE,
            argument="as_closest_canonical",
            image=in_words(volume),
        )
    orientation = io_orientation(place)
    turned = place @ inv_ornt_aff(orientation, array.shape[:3])
    return apply_orientation(array, orientation), turned


def _converted(array: NDArray[Any], converter: Any) -> NDArray[Any]:
    """A picture ``[columns, rows(, 3)]`` through a bundle's own function of pictures."""
    from PIL import Image

    if not callable(converter):
        raise ExplanationError(PreprocessingProblem.CONVERTER)
    rows_first = np.ascontiguousarray(array.swapaxes(0, 1))
    converted = np.asarray(converter(Image.fromarray(rows_first)))
    if converted.shape[:2] != rows_first.shape[:2]:
        raise ExplanationError(PreprocessingProblem.CONVERTER_CHANGES_SIZE)
    return converted.swapaxes(0, 1)


def _stored_type(volume: Volume) -> Any:
    """The type of the values as nibabel gives them, or None: as they are."""
    header = volume.source.header
    if header is None or not hasattr(header, "get_slope_inter"):
        return None
    slope, intercept = header.get_slope_inter()
    scaled = slope not in (None, 1.0) or intercept not in (None, 0.0)
    stored = np.dtype(header.get_data_dtype()).newbyteorder("=")
    return np.float64 if scaled else stored if stored.kind in "iuf" else None


def in_words(volume: Volume) -> str:
    """What kind of image this is, for a sentence."""
    if volume.is_picture:
        return f"this picture of {volume.shape[1]} rows and {volume.shape[2]} columns"
    return f"this image of shape {volume.shape}"
