"""NIfTI and all else that nibabel reads, with nibabel's headers and array proxies.

In the order of the data: ``names`` (which files belong together), ``gzipped`` (their content,
unpacked), ``headers`` (NIfTI, Analyze, FreeSurfer) with ``orientation`` (what a header says of left
and right, and where it contradicts itself), ``relatives`` (AFNI, MINC, Philips), ``stored`` (what a
header says of its images, checked before anything is allocated), ``values`` (one image as an
array), ``images`` (a file to its Series, and to a Volume). ``problems`` holds the kinds of what can
be wrong.
"""

from __future__ import annotations

from napari_ifa.reading.nifti.images import nifti_series, read_nifti
from napari_ifa.reading.nifti.names import is_nibabel_file, is_nibabel_name, is_nifti_name
from napari_ifa.reading.nifti.orientation import unit_in_mm

__all__ = [
    "is_nibabel_file",
    "is_nibabel_name",
    "is_nifti_name",
    "nifti_series",
    "read_nifti",
    "unit_in_mm",
]
