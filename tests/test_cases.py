"""Inputs that went wrong once, each of a kind, and what is right for them.

The voxels of a slice of the synthetic studies count up from its first, whose value tells the file;
so a value at a point of the patient tells whether the right file stands there, the right way round.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

import napari_ifa as ifa
from napari_ifa.errors import AnalysisError, BundleError, UnsupportedStudyError

#: Where the first voxel of the synthetic slices lies: LPS x and y in mm.
X, Y = -40.0, -30.0


@dataclass(frozen=True)
class Image:
    """One image: the value of the first voxel of each slice, by its height in mm."""

    first_values: dict[float, int]
    spacing: tuple[float, float, float] = (5.0, 1.5, 1.25)


def stack(start: int, number: int, bottom: float = 0.0, step: float = 5.0) -> Image:
    """Slices whose first voxels are ``start``, ``start + 1`` and so on, going up."""
    return Image({bottom + step * k: start + k for k in range(number)})


STUDIES = {
    "s01_two_patients_one_series_uid_interleaved": [stack(100, 6), stack(2000, 6, 2.5)],
    "s01e_two_patients_one_series_uid_different_FoR_above": [
        stack(100, 6),
        stack(2000, 6, 30.0),
    ],
    "s03_same_sop_uid_two_echoes_instance_restarts": [stack(100, 5), stack(1100, 5)],
    "f01_fixed_uids_two_patients_same_places": [stack(100, 6), stack(2000, 6)],
    "s04_same_series_uid_other_series_number_same_places": [
        stack(100, 5),
        stack(1100, 5),
        stack(2100, 5),
    ],
    "m_midnight": [stack(1000 * t, 4) for t in range(4)],
    "s02_multipass_overlap_small": [stack(100, 20), stack(2000, 20, 87.5)],
    "a01_three_acquisitions_border_slice_twice": [
        stack(1000, 10),
        stack(2000, 10, 45.0),
        stack(3000, 10, 90.0),
    ],
    "c03_phase_percent_no_instance_numbers": [stack(100 + 1000 * t, 6) for t in range(3)],
    "s05_decimal_comma": [stack(100, 5)],
    "p06_localizer_axial_same_geometry_not_flagged": [
        stack(100, 6),
        Image({200.0: 900}),
    ],
    "d01_series_uid_per_slice": [stack(100, 6)],
    "n01_nm_recon_tomo_positive": [
        Image({100.0 + 4.0 * k: 100 * k for k in range(6)}, (4.0, 4.0, 4.0))
    ],
    "sg_every_second": [
        Image({0.0: 1, 2.5: 0, 5.0: 1, 7.5: 0, 10.0: 1, 12.5: 0, 15.0: 1}, (2.5, 1.5, 1.25))
    ],
}


@pytest.mark.parametrize("name", STUDIES)
def test_study_opens_as_the_images_that_it_holds(shared_cases: Path, name: str) -> None:
    folder = shared_cases / "studies" / name
    listed = ifa.list_series(folder)
    offered = [one for one in listed if not one.alternative]
    assert not any(one.unsupported or one.question for one in offered)
    found = [ifa.read_volume(folder, series=one.key) for one in offered]
    assert len(found) == len(STUDIES[name])
    for volume, image in zip(_in_order(found), STUDIES[name], strict=True):
        assert volume.spacing == pytest.approx(image.spacing)
        assert volume.shape[0] == len(image.first_values)
        assert not volume.report.missing
        for height, value in image.first_values.items():
            assert _value_at(volume, (X, Y, height)) == value


def _in_order(volumes: list[ifa.Volume]) -> list[ifa.Volume]:
    """By the value of the lowest slice, but times as they are listed."""
    return sorted(volumes, key=lambda volume: volume.array.max() if volume.shape[0] > 1 else 1e9)


def _value_at(volume: ifa.Volume, point: tuple[float, float, float]) -> float:
    index = np.linalg.solve(volume.affine, [*point, 1.0])[:3]
    nearest = np.rint(index).astype(int)
    assert index == pytest.approx(nearest, abs=1e-3)
    return float(volume.array[tuple(nearest)])


def test_times_across_midnight_are_listed_in_their_order(shared_cases: Path) -> None:
    folder = shared_cases / "studies" / "m_midnight"
    volumes = [ifa.read_volume(one) for one in ifa.list_series(folder)]
    assert [int(volume.array.min()) // 1000 for volume in volumes] == [0, 1, 2, 3]


def test_cardiac_phases_are_named(shared_cases: Path) -> None:
    folder = shared_cases / "studies" / "c03_phase_percent_no_instance_numbers"
    parts = [one.part for one in ifa.list_series(folder)]
    assert ["10" in parts[0], "40" in parts[1], "70" in parts[2]] == [True, True, True]


@pytest.mark.parametrize(
    "name",
    [
        "s01_two_patients_one_series_uid_interleaved",
        "s01e_two_patients_one_series_uid_different_FoR_above",
        "f01_fixed_uids_two_patients_same_places",
        "s04_same_series_uid_other_series_number_same_places",
        "s03_same_sop_uid_two_echoes_instance_restarts",
        "d01_series_uid_per_slice",
        "s05_decimal_comma",
        "p06_localizer_axial_same_geometry_not_flagged",
    ],
)
def test_what_was_put_right_is_said(shared_cases: Path, name: str) -> None:
    listed = ifa.list_series(shared_cases / "studies" / name)
    said = [note for one in listed for note in (*one.notes, *ifa.read_volume(one).report.notes)]
    assert any(said)
    told = " ".join(said)
    assert not any(word in told for word in ("P1", "P2", "A^B", "1.2.826"))


def test_positions_all_equal_become_one_stack_and_it_is_said(shared_cases: Path) -> None:
    folder = shared_cases / "studies" / "p01_all_ipp_equal_only_slicelocation_differs"
    (one,) = [s for s in ifa.list_series(folder) if not s.alternative]
    volume = ifa.read_volume(one)
    assert volume.shape == (6, 12, 16)
    firsts = volume.array[:, 0, 0].tolist()
    assert sorted(firsts) == list(range(100, 106))
    assert firsts in (sorted(firsts), sorted(firsts, reverse=True))
    assert volume.report.notes


def test_padding_is_not_blended_by_the_correction_of_a_tilt(shared_cases: Path) -> None:
    """Outside the circle the scanner measured nothing; all it measured is -1000 or 40."""
    folder = shared_cases / "studies" / "g_tilt_padding"
    measured = [
        pydicom.dcmread(file).pixel_array.astype(float) for file in sorted(folder.iterdir())
    ]
    least = min(slice_[slice_ > -2000].min() for slice_ in measured)
    greatest = max(slice_.max() for slice_ in measured)
    volume = ifa.read_volume(folder)
    assert volume.report.tilt_degrees == pytest.approx(17.7, abs=0.1)
    # Values between the least measured one and padding were measured by nobody.
    made_up = (volume.array < least) & (volume.array > -2000)
    assert not made_up.any()
    assert volume.array.max() <= greatest


def test_empty_frames_that_a_label_map_leaves_out_are_empty(shared_cases: Path) -> None:
    file = shared_cases / "studies" / "public" / "sparse-labelmap-noppv.dcm"
    data = pydicom.dcmread(file)
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    stated = float(measures.SpacingBetweenSlices)
    places = [
        np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for group in data.PerFrameFunctionalGroupsSequence
    ]
    between = np.linalg.norm(places[1] - places[0]) / stated
    volume = ifa.read_volume(file)
    assert volume.spacing[0] == pytest.approx(stated, abs=1e-3)
    assert volume.shape[0] == round(between) + 1
    assert not volume.report.missing
    assert np.count_nonzero(volume.array) == np.count_nonzero(data.pixel_array)
    for place, frame in zip(places, data.pixel_array, strict=True):
        assert _value_at(volume, tuple(place)) == frame[0, 0]


NIFTI = (
    "vox_offset0.nii",
    "plain_named_gz.nii.gz",
    "gz_named_nii.nii",
    "sform_zero_code1_qform_ok.nii",
    "trailing_garbage.nii.gz",
)


@pytest.mark.parametrize("name", NIFTI)
def test_nifti_with_a_wrong_claim_is_read_as_it_was_meant(shared_cases: Path, name: str) -> None:
    """All five hold the same voxels at the same place, by byte 352 of what is unpacked."""
    file = shared_cases / "studies" / "nifti" / name
    plain = (shared_cases / "studies" / "nifti" / "plain_named_gz.nii.gz").read_bytes()
    voxels = np.frombuffer(plain, "<i2", offset=352).reshape((7, 6, 5), order="F")
    affine = nib.Nifti1Header(plain[:348]).get_best_affine()
    volume = ifa.read_volume(file)
    array, ras = volume.in_source_order()
    np.testing.assert_array_equal(array, voxels)
    np.testing.assert_allclose(ras, affine)
    assert volume.report.notes


def test_jpeg_ls_that_some_decoders_refuse(shared_cases: Path) -> None:
    """4000 is the greatest value of the stream as gdcm and CharLS 2.4 decode it."""
    volume = ifa.read_volume(shared_cases / "studies" / "public" / "MR1_JLSL")
    assert volume.shape == (1, 512, 512)
    assert volume.array.min() == 0
    assert volume.array.max() == 4000


def test_private_raw_object_is_none_with_an_image(shared_cases: Path) -> None:
    folder = shared_cases / "studies" / "public"
    with pytest.raises(UnsupportedStudyError, match="a DICOM object without an image"):
        ifa.list_series(folder / "XX_0546")
    skipped = [one for one in ifa.list_series(folder).skipped if "without an image" in one.reason]
    assert [one.names for one in skipped] == [("XX_0546",)]


def test_compressed_pixels_under_an_uncompressed_syntax(shared_cases: Path) -> None:
    """The stream says what it is, and so does the volume's report."""
    file = shared_cases / "studies" / "public" / "GH1376.dcm"
    volume = ifa.read_volume(file)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    assert sorted(volume.shape) == sorted((1, header.Rows, header.Columns))
    (note,) = [text for text in volume.report.notes if "not compressed" in text]
    assert "were read as" in note


@pytest.mark.parametrize("name", ["bundle_laughs", "bundle_manyblocks"])
def test_bundle_that_costs_too_much_is_refused_at_once(shared_cases: Path, name: str) -> None:
    for module in ("monai.networks.nets", "monai.transforms"):
        import_module(module)
    start = time.process_time()
    with pytest.raises(BundleError) as refused:
        ifa.load_classifier(shared_cases / "bundles" / name)
    # A fraction of a second; they ran for more than a minute.
    assert time.process_time() - start < 5.0
    assert "\n" not in str(refused.value)


def test_damaged_analysis_ends_in_one_sentence(shared_cases: Path) -> None:
    damaged = shared_cases / "damaged_9.nc"
    with pytest.raises(AnalysisError):
        ifa.load_analysis(damaged)
    done = subprocess.run(
        [sys.executable, "-m", "napari_ifa.cli", "report", str(damaged), "-o", "unused.html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
