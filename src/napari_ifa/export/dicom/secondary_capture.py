"""A map over its image as colour pictures that every PACS shows: a Secondary Capture series."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from pydicom.valuerep import DS

from napari_ifa.disk import is_ours, whole_folder
from napari_ifa.errors import ExistingOutputError, IfaError
from napari_ifa.export.colour_bar import bar_size, colour_bar
from napari_ifa.export.colouring import Colouring
from napari_ifa.export.dicom.derived import (
    equipment,
    planes,
    put_into_first,
    say_derivation,
    series_number,
    take_over,
)
from napari_ifa.export.dicom.source import DicomSource, dicom_source
from napari_ifa.export.problems import ExportProblem, unwritten_said
from napari_ifa.export.provenance import Provenance
from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.volumes.volume import Affine, Volume, Window
from napari_ifa.volumes.windowing import default_window, display

_SERIES_OFFSET = 2000
#: The longer side of a picture has at least so many pixels: smaller ones hold no readable words.
_SMALLEST = 512
_OWN_NAME = re.compile(r"slice_\d{4,}\.dcm")


def write_secondary_capture(
    image: Volume,
    values: Volume,
    provenance: Provenance,
    colouring: Colouring,
    folder: str | os.PathLike[str],
    *,
    window: Window | None = None,
    opacity: float = 0.75,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[Path]:
    """Write ``values`` over ``image``, one DICOM file for each slice, into a new folder.

    The pictures are the source's own planes, at the same place in the patient; a margin on the
    right holds the colour bar, and covers nothing. Images smaller than 512 pixels are enlarged by
    a whole number, each pixel becoming a square of equal ones. Slices that the source lacks, or
    that are damaged, are left out.

    Parameters
    ----------
    image : the image explained, from DICOM.
    values : the map on the image's grid; NaN, having no value, shows the bare image.
    window : in which the image is shown; the one that it opens with by default.
    opacity : of the overlay where it is strongest, 0 to 1.
    overwrite : replace an older export in the same folder.
    progress : called after each slice.
    stop : asked before each slice; True ends the work and leaves nothing behind.

    Returns
    -------
    list of Path
        ``slice_0001.dcm``, … in ``folder``, which appears whole or not at all.

    Raises
    ------
    ExistingOutputError
        The folder holds an older export, and ``overwrite`` was not asked for.
    IfaError
        Where the image does not come from DICOM, the folder holds other files, or it cannot be
        written.
    Cancelled
        When ``stop`` says so.
    """
    folder = Path(folder)
    if image.shape != values.shape:
        raise ValueError(f"map of shape {values.shape} on an image of shape {image.shape}")
    older = _older_export(folder, overwrite)
    source = dicom_source(image)
    pictures = _Pictures(image, values, colouring, window or default_window(image), opacity)
    series = _SeriesWriter(source, provenance, colouring, pictures.enlarged)
    shown = [index for index in range(source.slices) if index not in source.missing]
    names = [f"slice_{number:04d}.dcm" for number in range(1, len(shown) + 1)]
    with (
        unwritten_said(f"{folder.name}: cannot be written"),
        whole_folder(folder, obsolete=older) as part,
    ):
        for number, (index, name) in enumerate(zip(shown, names, strict=True), start=1):
            check_stop(stop, "Writing")
            dataset = series.instance(pictures[index], index, number)
            dataset.save_as(part / name, enforce_file_format=True)
            if progress is not None:
                progress(number, len(shown))
    return [folder / name for name in names]


class _Pictures:
    """Image and map as colours, slice by slice in file order."""

    def __init__(
        self,
        image: Volume,
        values: Volume,
        colouring: Colouring,
        window: Window,
        opacity: float,
    ) -> None:
        self._image, _ = image.in_source_order()
        self._values, _ = values.in_source_order()
        self._inverted = image.inverted
        self._colouring, self._window, self._opacity = colouring, window, opacity
        #: How many pixels of a picture one pixel of the image becomes, along each side.
        self.enlarged = max(1, -(-_SMALLEST // max(self._image.shape[:2])))

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``[rows, columns, 3]``."""
        under = _brightness(self._image[:, :, index], self._window, self._inverted)
        rgba = np.asarray(self._colouring.colours(self._values[:, :, index]), dtype=np.float32)
        alpha = rgba[..., 3:] * self._opacity
        fused = under * (1 - alpha) + rgba[..., :3] * alpha
        pixels = np.rint(255 * np.clip(fused, 0, 1)).astype(np.uint8).transpose(1, 0, 2)
        return pixels.repeat(self.enlarged, axis=0).repeat(self.enlarged, axis=1)


def _brightness(pixels: NDArray[Any], window: Window, inverted: bool) -> NDArray[np.floating[Any]]:
    """0 to 1, ``[columns, rows, 1]``, or 3 channels where the image has colours of its own."""
    if pixels.ndim == 3:
        most = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1.0
        colours = pixels[..., :3].astype(np.float32) / most
        return np.clip(colours, 0, 1) if colours.shape[-1] == 3 else colours[..., :1]
    return display(pixels, window, inverted)[..., None]


class _SeriesWriter:
    """The objects of one series: what they share, and each slice's own."""

    def __init__(
        self, source: DicomSource, provenance: Provenance, colouring: Colouring, enlarged: int
    ) -> None:
        self._source, self._provenance, self._colouring = source, provenance, colouring
        self._enlarged = enlarged
        self._affine = _finer(source.affine, enlarged)
        self._uid = generate_uid(prefix=None)
        self._bar: NDArray[np.uint8] | None = None

    def instance(self, picture: NDArray[np.uint8], index: int, number: int) -> Any:
        """The object of one slice, as a highdicom Secondary Capture."""
        import highdicom as hd

        source, provenance = self._source, self._provenance
        dataset = hd.sc.SCImage(
            pixel_array=self._with_bar(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            study_instance_uid=source.study_uid,
            series_instance_uid=self._uid,
            series_number=series_number(source, _SERIES_OFFSET),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=number,
            patient_orientation=self._orientation_letters(),
            **equipment(provenance),
        )
        if source.frame_of_reference:
            self._add_place(dataset, index)
        else:
            dataset.PatientOrientation = list(source.patient_orientation) or None
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        dataset.ConversionType = "WSD"  # by a workstation
        dataset.BurnedInAnnotation = "YES"
        say_derivation(dataset, provenance)
        references = source.references(source.frames_of(index), same_pixels=self._enlarged == 1)
        if references:
            dataset.SourceImageSequence = references
        take_over(dataset, source, provenance)
        return dataset

    def _with_bar(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = picture.shape[:2]
        if self._bar is None:
            self._bar = colour_bar(self._colouring, self._provenance.kind, rows)
        height, width = bar_size(rows)
        whole = np.zeros((height, columns + width, 3), dtype=np.uint8)
        whole[:rows, :columns] = picture
        whole[:, columns:] = self._bar
        return whole

    def _orientation_letters(self) -> tuple[str, str]:
        from highdicom.spatial import get_closest_patient_orientation

        column, row = (axis / np.linalg.norm(axis) for axis in self._source.affine[:3, :2].T)
        # highdicom asks for right angles, which rounded headers and stacks that drift miss.
        normal = np.cross(column, row)
        right_angled = np.stack([column, np.cross(normal, column), normal], axis=1)
        letters = get_closest_patient_orientation(right_angled)
        return letters[0].value, letters[1].value

    def _add_place(self, dataset: Any, index: int) -> None:
        """Where the picture lies: highdicom's Secondary Capture has no place of its own."""
        put_into_first(dataset, planes(self._affine, [index]))
        del dataset.SpacingBetweenSlices  # which a single picture has not
        # Slices by position even in a viewer that knows no geometry of Secondary Captures.
        normal = np.cross(*(axis / np.linalg.norm(axis) for axis in self._affine[:3, :2].T))
        position = (self._affine @ [0, 0, index, 1])[:3]
        dataset.SliceLocation = DS(float(position @ normal), auto_format=True)


def _finer(affine: Affine, factor: int) -> Affine:
    """The grid whose pixels are ``factor`` times smaller and cover the same area."""
    finer = np.diag([1 / factor, 1 / factor, 1.0, 1.0])
    finer[:2, 3] = 0.5 / factor - 0.5
    return affine @ finer


def _older_export(folder: Path, overwrite: bool) -> list[str]:
    """The names of an older export in a folder; refused where it holds anything else."""
    if not os.path.lexists(folder):
        return []
    if not folder.is_dir() or not all(
        _OWN_NAME.fullmatch(entry.name) and entry.is_file() and is_ours(entry, "DICOM")
        for entry in folder.iterdir()
    ):
        raise IfaError(ExportProblem.OTHER_FILES, folder=folder.name)
    older = [entry.name for entry in folder.iterdir()]
    if older and not overwrite:
        raise ExistingOutputError(folder)
    return older
