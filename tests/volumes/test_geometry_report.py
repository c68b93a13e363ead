"""The geometry of an image in words for a badge, and as data."""

from __future__ import annotations

import json

import numpy as np

from napari_ifa.volumes import GeometryReport, SourceOrder, Volume, volume_from_file_order


def reported(**found: object) -> Volume:
    """Four axial slices of 5 × 6 pixels, 3 mm apart, with what a reader found."""
    lps = np.diag([0.5, 0.5, 3.0, 1.0])
    report = GeometryReport(**found)  # type: ignore[arg-type]
    array = np.zeros((6, 5, 4), np.int16)
    return volume_from_file_order(array, lps, SourceOrder(kind="dicom"), report=report)


def test_nothing_remarkable_has_no_badge() -> None:
    report = reported().report
    assert report.badge == ""
    assert report.plane == "axial"
    assert report.spacing_mm == (3.0, 0.5, 0.5)
    assert not report.resampled


def test_badge_names_each_thing() -> None:
    report = GeometryReport(
        oblique_degrees=15.2,
        tilt_degrees=18.51,
        slice_distances_mm=(1.08, 7.0),
        sheared=True,
        missing=(3, 4),
        unverified=True,
    )
    assert report.badge == (
        "oblique 15° · tilt 18.5° corrected · slices interpolated · shear corrected"
        " · 2 slices missing · left/right unverified"
    )
    assert report.resampled
    assert GeometryReport(missing=(1,)).badge == "1 slice missing"
    assert GeometryReport(oblique_degrees=0.9).badge == ""


def test_missing_slices_count_along_the_volumes_own_axis() -> None:
    # The file's slices run towards the head, the Volume's towards the feet.
    assert reported(missing=(0, 1)).report.missing == (2, 3)
    lps = np.diag([0.5, 0.5, -3.0, 1.0])
    downwards = volume_from_file_order(
        np.zeros((6, 5, 4)), lps, SourceOrder(), report=GeometryReport(missing=(0, 1))
    )
    assert downwards.report.missing == (0, 1)


def test_image_without_a_place_has_no_spacing() -> None:
    volume = volume_from_file_order(np.zeros((3, 2, 1)), np.eye(4), SourceOrder(placed=False))
    assert volume.report.spacing_mm is None
    assert volume.report.plane == "picture"


def test_as_data_is_json() -> None:
    data = json.loads(json.dumps(reported(missing=(1,), notes=("a sentence.",)).report.as_data()))
    assert data["plane"] == "axial"
    assert data["spacing_mm"] == [3.0, 0.5, 0.5]
    assert data["missing"] == [2]
    assert data["notes"] == ["a sentence."]
    assert data["badge"] == "1 slice missing"
    assert data["resampled"] is False
