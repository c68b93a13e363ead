"""Between which values an image lies."""

from __future__ import annotations

import numpy as np

from napari_ifa.volumes import SourceOrder, volume_from_file_order
from napari_ifa.volumes.value_range import full_range, usual_range


def test_full_range_passes_over_what_is_no_number():
    array = np.arange(8, dtype=float).reshape(2, 2, 2)
    array[0, 0, 0] = np.nan
    assert full_range(array) == (1, 7)
    assert full_range(np.full((2, 2, 2), np.nan)) == (0, 0)


def test_usual_range_leaves_out_half_a_per_cent_at_each_end():
    # Of 0 … 1000 the 0.5th percentile is 5, the 99.5th 995.
    assert usual_range(np.arange(1001.0).reshape(7, 11, 13)) == (5, 995)


def test_a_speck_in_an_empty_image_counts():
    array = np.zeros((10, 10, 10))
    array[5, 5, 5] = 3
    assert usual_range(array) == (0, 3)
    assert usual_range(np.full((2, 2, 2), np.nan)) == (0, 1)


def test_a_volume_looks_at_its_voxels_once():
    volume = volume_from_file_order(np.arange(8.0).reshape(2, 2, 2), np.eye(4), SourceOrder())
    assert volume.full_range == (0, 7)
    assert volume.full_range is volume.full_range
    assert volume.usual_range is volume.usual_range
