"""Files and folders to images in patient space.

In the order of the data: ``places`` (what a person points at), ``folder``, ``archive`` and
``dicomdir`` (the files that lie there), ``starts`` (what a file is), ``scan`` (from files to
``series``, in a ``series_list``; with ``threads``), what reads each kind (``dicom``, ``nifti``,
``picture``), ``choice`` (which series is meant), ``reader`` (the way in: a list, or a series to a
volume). ``problems`` holds the kinds of what can be wrong.
"""

from __future__ import annotations

from napari_ifa.reading.picture import picture_volume
from napari_ifa.reading.reader import list_series, read_volume
from napari_ifa.reading.series import Found, Series
from napari_ifa.reading.series_list import SeriesList, Skipped

__all__ = [
    "Found",
    "Series",
    "SeriesList",
    "Skipped",
    "list_series",
    "picture_volume",
    "read_volume",
]
