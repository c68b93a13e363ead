"""Images that do not belong to a cohort, and images that are changed: what the fit is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import napari_ifa as ifa
from napari_ifa import samples

Array = NDArray[np.float32]
Change = Callable[[Array, np.random.Generator], Array]

#: Must be found: there is nothing of a patient in them, or another one altogether.
NOISE = "noise"
EMPTY = "empty"
INVERTED = "inverted"
FOREIGN = "another organ or modality"
PHOTOGRAPHS = "photographs"


def _range(array: Array) -> tuple[float, float]:
    return float(array.min()), float(np.ptp(array)) or 1.0


def _middle(array: Array) -> tuple[slice, ...]:
    return tuple(slice(None) if n == 1 else slice(n // 4, n - n // 4) for n in array.shape)


def _contrast(array: Array, random: np.random.Generator) -> Array:
    low, width = _range(array)
    return ((array - low) / width) ** 1.5 * width + low


def _border(array: Array, random: np.random.Generator) -> Array:
    framed = np.full_like(array, array.min())
    framed[_middle(array)] = array[_middle(array)]
    return framed


def _zoomed(array: Array, random: np.random.Generator) -> Array:
    return _fitted(array[_middle(array)], array.shape)


def _turned(array: Array, random: np.random.Generator) -> Array:
    planes = (1, 2) if array.shape[0] == 1 else (0, 1)
    return _fitted(np.rot90(array, 1, planes), array.shape)


def _fitted(array: Array, shape: tuple[int, ...]) -> Array:
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    return np.asarray(ndimage.zoom(array, factors, order=1))


def _blurred(array: Array, random: np.random.Generator) -> Array:
    return np.asarray(ndimage.gaussian_filter(array, [0 if n == 1 else 1.5 for n in array.shape]))


def _lesion(array: Array, random: np.random.Generator) -> Array:
    centre = [n // 2 if n == 1 else n * random.uniform(0.3, 0.7) for n in array.shape]
    places = np.ogrid[tuple(slice(n) for n in array.shape)]
    away = sum((place - c) ** 2 for place, c in zip(places, centre, strict=True))
    return np.where(away < (0.08 * max(array.shape)) ** 2, array.max(), array)


def _noisy(share: float) -> Change:
    return lambda a, random: a + random.normal(0, share * float(a.std()), a.shape)


#: Of a cohort's own images, on the stored values.
CHANGES: dict[str, dict[str, Change]] = {
    NOISE: {
        "normal, with the image's mean and deviation": lambda a, r: r.normal(
            a.mean(), a.std(), a.shape
        ),
        "uniform, over the image's range": lambda a, r: r.uniform(a.min(), a.max(), a.shape),
        "the image's voxels in another order": lambda a, r: r.permutation(a.ravel()).reshape(
            a.shape
        ),
    },
    EMPTY: {
        "zero": lambda a, r: np.zeros_like(a),
        "the image's mean": lambda a, r: np.full_like(a, a.mean()),
    },
    INVERTED: {"black for white": lambda a, r: a.max() + a.min() - a},
    "changed": {
        "contrast bent (power 1.5)": _contrast,
        "noise of 10 % of the deviation": _noisy(0.1),
        "noise of 50 % of the deviation": _noisy(0.5),
        "blurred (1.5 voxels)": _blurred,
        "cut to its middle, enlarged": _zoomed,
        "black border of a quarter": _border,
        "left and right changed": lambda a, r: a[:, :, ::-1],
        "upside down": lambda a, r: a[:, ::-1] if a.shape[0] == 1 else a[::-1],
        "turned by 90°": _turned,
        "a bright disc or ball": _lesion,
    },
}


def changed(volume: ifa.Volume, change: Change, seed: int) -> ifa.Volume:
    """The image with other values on its own grid."""
    array = np.asarray(volume.array, np.float32)
    made = change(array, np.random.default_rng(seed))
    return volume.with_array(np.ascontiguousarray(made, np.float32))


def pictures(data: Path, without: str, count: int) -> Iterator[tuple[str, str, ifa.Volume]]:
    """Kind, name and image of other pictures than those of the set ``without``, in grey."""
    kinds = {
        "chest X-rays": (FOREIGN, data / "chest_xray"),
        "breast ultrasound": (FOREIGN, data / "breast_ultrasound"),
        "brain MR": (FOREIGN, data / "brain_mri"),
        "skin": (FOREIGN, data / "skin"),
        "handwritten digits": (FOREIGN, data / "mnist"),
        "cats and dogs": (PHOTOGRAPHS, data / "cats_dogs"),
        "ImageNet": (PHOTOGRAPHS, data / "imagenet" / "labels.csv"),
    }
    for name, (kind, place) in kinds.items():
        if name != without:
            for case in _some(ifa.read_cohort(place), count):
                volume = case.read()
                array = np.asarray(volume.array, np.float32)
                grey = array[..., :3].mean(-1) if array.ndim == 4 else array
                yield kind, name, volume.with_array(grey)


def volumes(data: Path, without: str, count: int) -> Iterator[tuple[str, str, ifa.Volume]]:
    """The same in three dimensions: whole studies, and cubes out of them for a set of cubes."""
    places = {
        "head CT": data / "dicom" / "ct_head",
        "head CT angiogram": data / "nifti" / "CT_AVM.nii.gz",
        "body CT": data / "nifti" / "example_ct.nii.gz",
        "head MR with contrast": data / "nifti" / "MR_Gd.nii.gz",
        "mean head MR": data / "nifti" / "spm152.nii.gz",
        "body MR": data / "nifti" / "example_mr_sm.nii.gz",
    }
    random = np.random.default_rng(3)
    for name, place in places.items():
        whole = ifa.read_volume(place)
        yield FOREIGN, name, whole
        if without == "LIDC cubes":
            for _ in range(count // 2):
                yield FOREIGN, f"{name}, cubes", _cube(whole, random)
    if without != "LIDC cubes":
        for file in sorted((data / "lidc_nodules" / "images").iterdir())[:count]:
            yield FOREIGN, "LIDC cubes", ifa.read_volume(file)
    else:
        for case in _some(ifa.read_cohort(samples.cohort("clean")), count):
            yield FOREIGN, "sample heads", case.read()


def _cube(volume: ifa.Volume, random: np.random.Generator, size: int = 51) -> ifa.Volume:
    starts = [int(random.integers(0, max(1, n - size + 1))) for n in volume.shape]
    cut = volume.array[tuple(slice(start, start + size) for start in starts)]
    return replace(volume, array=np.ascontiguousarray(cut, np.float32))


def _some(cohort: ifa.Cohort, count: int) -> Sequence[ifa.analysis.Case]:
    order = np.random.default_rng(1).permutation(len(cohort.cases))[:count]
    return [cohort.cases[n] for n in order]
