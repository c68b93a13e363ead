"""NIfTI files that went wrong: where the voxels begin, what is compressed, which orientation."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.reading.problems import StudyProblem
from tests.refusals import refused, unreadable

Save = Callable[..., Path]

VALUES = np.arange(4 * 3 * 2, dtype=np.int16).reshape(4, 3, 2) * 7 - 30
AFFINE = np.array([[-1.5, 0, 0, 12], [0, 2.5, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
VOX_OFFSET, SROW_X, EXTENSIONS = 108, 280, 348
OF_THE_CASE = np.diag([-2.0, 1.5, 4.0, 1.0])
OF_THE_CASE[:3, 3] = 30, -20, -10


def overwrite(path: Path, place: int, content: bytes) -> Path:
    """In a file that is not compressed."""
    whole = bytearray(path.read_bytes())
    whole[place : place + len(content)] = content
    path.write_bytes(bytes(whole))
    return path


def opened(path: Path) -> tuple[np.ndarray, np.ndarray, list[NiftiNote]]:
    """Values and RAS affine in the file's own order, and the kinds of what is said."""
    volume = read_volume(path)
    array, affine = volume.in_source_order()
    assert len(volume.report.kinds) == len(volume.report.notes)
    return array, affine, list(volume.report.kinds)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vox_offset0.nii", NiftiNote.VOXELS_MOVED),
        ("plain_named_gz.nii.gz", NiftiNote.COMPRESSION),
        ("gz_named_nii.nii", NiftiNote.COMPRESSION),
        ("sform_zero_code1_qform_ok.nii", NiftiNote.SHOWN_BY_QFORM),
        ("trailing_garbage.nii.gz", NiftiNote.OTHER_BYTES),
    ],
)
def test_known_case(shared_cases: Path, name: str, kind: NiftiNote) -> None:
    array, affine, said = opened(shared_cases / "studies/nifti" / name)
    # The five files hold one image, which this one states rightly; nibabel is right on it.
    packed = (shared_cases / "studies/nifti/gz_named_nii.nii").read_bytes()
    true = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed))
    assert_array_equal(array, np.asanyarray(true.dataobj))
    assert_allclose(affine, OF_THE_CASE, atol=1e-6)
    assert said == [kind]


@pytest.mark.parametrize("offset", [0, 1, 16, 348, 351.5, -1000])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_said_to_begin_inside_the_header(
    save_nifti: Save, offset: float, packed: bool
) -> None:
    path = overwrite(save_nifti(VALUES, AFFINE, "x.nii"), VOX_OFFSET, struct.pack("<f", offset))
    if packed:
        content = path.read_bytes()
        path = path.with_suffix(".nii.gz")
        path.write_bytes(gzip.compress(content))
    array, affine, notes = opened(path)
    # Independent of every library: the numbers that stand behind byte 352.
    raw = path.read_bytes()
    content = gzip.decompress(raw) if packed else raw
    assert_array_equal(
        array, np.frombuffer(content, "<i2", offset=352).reshape(VALUES.shape, order="F")
    )
    assert_allclose(affine, AFFINE)
    assert notes == [NiftiNote.VOXELS_MOVED]


def test_voxels_of_nifti_2_said_to_begin_inside_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    nibabel.Nifti2Image(VALUES, AFFINE).to_filename(path)
    overwrite(path, 168, struct.pack("<q", 352))
    array, affine, notes = opened(path)
    assert_array_equal(array, VALUES)
    assert_allclose(affine, AFFINE)
    assert notes == [NiftiNote.VOXELS_MOVED]


def test_extensions_without_a_place_for_the_voxels_are_refused(save_nifti: Save) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii")
    overwrite(path, VOX_OFFSET, struct.pack("<f", 0))
    overwrite(path, EXTENSIONS, b"\1\0\0\0")
    assert refused(path).kind is NiftiProblem.PLACE_OF_VOXELS


def test_data_of_a_pair_begin_where_its_header_says(tmp_path: Path) -> None:
    nibabel.Nifti1Pair(VALUES, AFFINE).to_filename(tmp_path / "x.img")
    array, _, notes = opened(tmp_path / "x.hdr")
    assert_array_equal(array, VALUES)
    assert notes == []


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("x.nii", "y.nii.gz"),
        ("x.nii.gz", "y.nii"),
        ("x.mgh", "y.mgz"),
        ("x.mgz", "y.mgh"),
    ],
)
def test_compression_is_known_by_content(tmp_path: Path, written: str, named: str) -> None:
    kind = nibabel.MGHImage if "mg" in written else nibabel.Nifti1Image
    kind(VALUES.astype(np.float32), AFFINE).to_filename(tmp_path / written)
    path = (tmp_path / written).rename(tmp_path / named)
    array, affine, notes = opened(path)
    assert_array_equal(array, VALUES)
    assert_allclose(affine, AFFINE, atol=1e-5)
    assert notes == [NiftiNote.COMPRESSION]
    (series,) = list_series(path)
    assert [note.kind for note in series.notes] == notes


@pytest.mark.parametrize("packed", ["x.hdr", "x.img"])
def test_half_of_a_pair_is_compressed(tmp_path: Path, packed: str) -> None:
    nibabel.Nifti1Pair(VALUES, AFFINE).to_filename(tmp_path / "x.img")
    path = tmp_path / packed
    path.write_bytes(gzip.compress(path.read_bytes()))
    array, affine, _ = opened(tmp_path / "x.hdr")
    assert_array_equal(array, VALUES)
    assert_allclose(affine, AFFINE)


def test_afni_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    data = Path(nibabel.__file__).parent / "tests/data"
    shutil.copy(data / "example4d+orig.HEAD", tmp_path)
    with gzip.open(data / "example4d+orig.BRIK.gz") as brick:
        (tmp_path / "example4d+orig.BRIK.gz").write_bytes(brick.read())
    series = list_series(tmp_path)
    volume = read_volume(series[0])
    true = nibabel.load(data / "example4d+orig.HEAD").dataobj[..., 0]
    assert_allclose(volume.in_source_order()[0], true)


@pytest.mark.parametrize("fault", [0.0, np.nan, np.inf, 1e30])
def test_qform_stands_for_an_sform_that_is_none(save_nifti: Save, fault: float) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii", sform_code=2, qform_code=1)
    array, affine, notes = opened(overwrite(path, SROW_X, struct.pack("<12f", *[fault] * 12)))
    assert_array_equal(array, VALUES)
    assert_allclose(affine, AFFINE, atol=1e-5)
    assert notes == [NiftiNote.SHOWN_BY_QFORM]


def test_sform_whose_axes_lie_in_a_plane_gives_way_to_the_qform(save_nifti: Save) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii", sform_code=1, qform_code=1)
    _, affine, notes = opened(overwrite(path, SROW_X + 32, struct.pack("<4f", 0, 0, 0, 5)))
    assert_allclose(affine, AFFINE, atol=1e-5)
    assert len(notes) == 1


def test_sform_that_is_none_without_another_orientation_is_refused(save_nifti: Save) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii", sform_code=1, qform_code=0)
    overwrite(path, SROW_X, bytes(48))
    assert refused(path).kind is NiftiProblem.INVALID_ORIENTATION


def test_image_shown_by_its_qform_is_written_by_it(save_nifti: Save, tmp_path: Path) -> None:
    from napari_ifa.export import write_nifti

    path = save_nifti(VALUES, AFFINE, "x.nii", sform_code=1, qform_code=1)
    overwrite(path, SROW_X, bytes(48))
    written = nibabel.load(write_nifti(read_volume(path), tmp_path / "y.nii"))
    assert_allclose(written.affine, AFFINE, atol=1e-5)
    assert_array_equal(np.asanyarray(written.dataobj), VALUES)


@pytest.mark.parametrize("behind", [b"trailing", b"\0" * 70_000 + b"x", b"\x1f", b"\0" * 512])
def test_bytes_behind_the_compressed_image(save_nifti: Save, behind: bytes) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii.gz")
    path.write_bytes(path.read_bytes() + behind)
    array, _, notes = opened(path)
    assert_array_equal(array, VALUES)
    assert notes == ([NiftiNote.OTHER_BYTES] if behind.strip(b"\0") else [])


def test_image_in_several_members(save_nifti: Save) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii")
    content = path.read_bytes()
    path.with_suffix(".nii.gz").write_bytes(
        b"".join(gzip.compress(content[k : k + 50]) for k in range(0, len(content), 50))
    )
    array, _, notes = opened(path.with_suffix(".nii.gz"))
    assert_array_equal(array, VALUES)
    assert notes == []


@pytest.mark.parametrize("lost", [1, 8, 20])
def test_compressed_image_that_is_cut_off_is_refused(save_nifti: Save, lost: int) -> None:
    noise = np.random.default_rng(0).integers(0, 9999, (9, 9, 9)).astype(np.int16)
    path = save_nifti(noise, AFFINE, "x.nii.gz")
    path.write_bytes(path.read_bytes()[:-lost])
    assert unreadable(path).kind is StudyProblem.DAMAGED


def test_checksum_of_a_member_is_looked_at(save_nifti: Save) -> None:
    path = save_nifti(VALUES, AFFINE, "x.nii.gz")
    packed = bytearray(path.read_bytes())
    packed[-6] ^= 1
    path.write_bytes(bytes(packed) + b"trailing")
    assert unreadable(path).kind is StudyProblem.DAMAGED


def test_minc_file_that_is_compressed_as_a_whole(tmp_path: Path) -> None:
    data = Path(nibabel.__file__).parent / "tests/data"
    path = tmp_path / "x.mnc"
    path.write_bytes(gzip.compress((data / "tiny.mnc").read_bytes()))
    assert refused(path).kind is NiftiProblem.HEADER_DAMAGED
