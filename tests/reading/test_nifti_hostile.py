"""Files made to do harm: claimed sizes, bombs, pointers to other files, endless texts."""

from __future__ import annotations

import gzip
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import read_volume
from napari_ifa.reading.nifti import nifti_series, read_nifti
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.volumes.problems import ImageProblem
from tests.refusals import refused

Save = Callable[..., Path]
DATA = Path(nibabel.__file__).parent / "tests" / "data"
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@contextmanager
def at_most(megabytes: float, seconds: float = 5) -> Iterator[None]:
    """No more memory and time than this."""
    start = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= megabytes * 2**20
    assert time.perf_counter() - start < seconds


def overwrite(path: Path, at: int, numbers: np.ndarray | np.generic) -> None:
    """Numbers from byte ``at`` on, inside a gzip file or a plain one."""
    packed = path.suffix in (".gz", ".mgz")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    new = numbers.tobytes()
    content[at : at + len(new)] = new
    path.write_bytes(gzip.compress(content) if packed else content)


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="latin-1")
    assert old in text
    path.write_text(text.replace(old, new), encoding="latin-1")


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A header of 2 × 3 × 4 voxels before a GiB of zeros, in a megabyte."""
    nibabel.Nifti1Image(CUBE, np.eye(4)).to_filename(tmp_path / "small.nii")
    path = tmp_path / "image.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write((tmp_path / "small.nii").read_bytes())
        zeros = bytes(2**22)
        for _ in range(256):
            file.write(zeros)
    (tmp_path / "small.nii").unlink()
    return path


def test_packed_file_is_read_only_as_far_as_the_header_needs(bomb: Path) -> None:
    read_volume(bomb)  # imports are not counted
    with at_most(1, seconds=1):
        array, _ = read_volume(bomb).in_source_order()
    np.testing.assert_array_equal(array, CUBE)


@pytest.mark.parametrize("offset", [1e6, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_voxels_said_to_lie_elsewhere(save_nifti: Save, name: str, offset: float) -> None:
    path = save_nifti(CUBE, name=name)
    # vox_offset stands at byte 108.
    overwrite(path, 108, np.float32(offset))
    with at_most(1, seconds=1), pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert caught.value.kind in (StudyProblem.DAMAGED, NiftiProblem.HEADER_DAMAGED)


@pytest.mark.parametrize("sizes", [(3, -2, 3, 4), (3, 0, 3, 4), (7, 2, 3, 4, 1, -1, 1, 1)])
def test_negative_sizes(save_nifti: Save, sizes: tuple[int, ...]) -> None:
    path = save_nifti(CUBE, name="image.nii")
    overwrite(path, 40, np.array(sizes, "<i2"))
    error = refused(path)
    assert (error.kind, error.facts["sizes"]) == (NiftiProblem.NO_IMAGE, sizes[1:])


def test_more_images_than_the_file_can_hold(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii.gz")
    overwrite(path, 40, np.array((7, 2, 3, 4, 32767, 32767, 32767, 32767), "<i2"))
    assert refused(path).kind is StudyProblem.DAMAGED


def test_more_images_than_can_be_chosen_from(tmp_path: Path) -> None:
    data = np.zeros((1, 1, 1, 20_000), np.uint8)
    nibabel.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "image.nii.gz")
    assert refused(tmp_path / "image.nii.gz").kind is NiftiProblem.TOO_MANY_IMAGES


@pytest.mark.parametrize("slope", [np.nan, np.inf, 0])
def test_scale_that_is_no_number_is_none(save_nifti: Save, slope: float) -> None:
    path = save_nifti(CUBE)
    # scl_slope and scl_inter stand at byte 112.
    overwrite(path, 112, np.array((slope, np.nan), "<f4"))
    np.testing.assert_array_equal(read_volume(path).in_source_order()[0], CUBE)


def test_scale_that_lacks_its_second_number_is_refused(save_nifti: Save) -> None:
    path = save_nifti(CUBE)
    overwrite(path, 112, np.array((2, np.nan), "<f4"))
    assert refused(path).kind is NiftiProblem.HEADER_DAMAGED


def test_header_of_a_pair_in_a_file_by_itself_is_refused(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii")
    # The magic stands at byte 344; voxels would be read from the header.
    overwrite(path, 344, np.frombuffer(b"ni1", "u1"))
    assert refused(path).kind is NiftiProblem.HEADER_DAMAGED


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_sizes_of_no_patient_are_refused(save_nifti: Save, size: float) -> None:
    path = save_nifti(CUBE, np.diag([size, 1, 1, 1]), name="image.nii")
    assert refused(path).kind is NiftiProblem.INVALID_ORIENTATION


def test_quaternion_that_is_no_rotation_is_refused(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii", sform_code=0, qform_code=1)
    # quatern_b, quatern_c and quatern_d stand at byte 256.
    overwrite(path, 256, np.array((3, 3, 3), "<f4"))
    assert refused(path).kind is NiftiProblem.INVALID_ORIENTATION


def test_packed_data_that_were_changed_are_found_by_their_checksum(save_nifti: Save) -> None:
    noise = np.random.default_rng(0).integers(-9999, 9999, (50, 50, 50)).astype(np.int16)
    path = save_nifti(noise)
    content = bytearray(path.read_bytes())
    # The checksum stands before the four bytes of the length.
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert caught.value.kind is StudyProblem.DAMAGED


@pytest.mark.parametrize("name", ["image.mgh", "image.mgz"])
def test_freesurfer_sizes_are_checked_before_the_file_is_read_on(tmp_path: Path, name: str) -> None:
    nibabel.MGHImage(CUBE, np.eye(4)).to_filename(tmp_path / name)
    # The sizes stand at byte 4.
    overwrite(tmp_path / name, 4, np.array((30000, 30000, 30000, 1), ">i4"))
    with at_most(1):
        error = refused(tmp_path / name)
    assert (error.kind, error.facts["shape"]) == (ImageProblem.TOO_LARGE, (30000,) * 3)
    overwrite(tmp_path / name, 4, np.array((2**31 - 1,) * 4, ">i4"))
    with at_most(1):
        assert refused(tmp_path / name).kind is ImageProblem.TOO_LARGE
    overwrite(tmp_path / name, 4, np.array((200, 200, 200, 1), ">i4"))
    with at_most(1):
        assert refused(tmp_path / name).kind is StudyProblem.DAMAGED


def test_freesurfer_file_without_orientation_is_unverified(tmp_path: Path) -> None:
    path = tmp_path / "image.mgh"
    nibabel.MGHImage(CUBE, np.eye(4)).to_filename(path)
    assert not read_volume(path).report.unverified
    # goodRASFlag stands at byte 28.
    overwrite(path, 28, np.array(0, ">i2"))
    volume = read_volume(path)
    assert volume.report.unverified
    assert volume.report.kinds == (NiftiNote.NO_ORIENTATION,)


@pytest.fixture
def afni(tmp_path: Path) -> Path:
    for suffix in ("HEAD", "BRIK"):
        shutil.copy(DATA / f"scaled+tlrc.{suffix}", tmp_path)
    return tmp_path / "scaled+tlrc.HEAD"


def test_afni_header_that_claims_many_images(afni: Path) -> None:
    # DATASET_RANK: three axes, one image.
    replaced(afni, "\n 3 1 0 0 0", "\n 3 4000000000 0 0 0")
    with at_most(1):
        assert refused(afni).kind is StudyProblem.DAMAGED


def test_afni_header_without_its_matrix(afni: Path) -> None:
    replaced(afni, "IJK_TO_DICOM_REAL", "IJK_TO_NOTHING")
    assert refused(afni).kind is NiftiProblem.HEADER_DAMAGED


@pytest.mark.parametrize("factor", ["nan", "inf"])
def test_afni_scale_that_is_no_number(afni: Path, factor: str) -> None:
    replaced(afni, "3.883363e-08", factor)
    assert refused(afni).kind is NiftiProblem.HEADER_DAMAGED


def test_afni_complex_numbers(afni: Path) -> None:
    head = afni.read_text()
    # Of each image: 1 for int16, 5 for complex numbers.
    before, after = head.split("BRICK_TYPES", 1)
    afni.write_text(before + "BRICK_TYPES" + after.replace("\n 1", "\n 5", 1))
    assert refused(afni).kind is StudyProblem.DAMAGED


def test_philips_header_that_would_take_for_ever(tmp_path: Path) -> None:
    stem = "phantom_EPI_asc_CLEAR_2_1"
    for suffix in ("PAR", "REC"):
        shutil.copy(DATA / f"{stem}.{suffix}", tmp_path)
    path = tmp_path / f"{stem}.PAR"
    text = path.read_text()
    line = next(line for line in text.splitlines() if line.startswith("."))
    path.write_text(text.replace(line, "." + " " * 100_000, 1))
    with at_most(8):
        assert refused(path).kind is NiftiProblem.HEADER_DAMAGED
    replaced_text = text.replace(
        "Max. number of slices/locations    :   9",
        "Max. number of slices/locations    :   2000000000",
    )
    assert replaced_text != text
    path.write_text(replaced_text)
    with at_most(8):
        assert refused(path).kind is NiftiProblem.HEADER_DAMAGED


@pytest.fixture
def minc(tmp_path: Path) -> Path:
    shutil.copy(DATA / "minc2_1_scale.mnc", tmp_path / "image.mnc")
    return tmp_path / "image.mnc"


@pytest.mark.parametrize("place", ["image", "image-max"])
def test_minc_file_that_points_to_another_file_is_refused(minc: Path, place: str) -> None:
    shutil.copy(minc, minc.with_name("secret.h5"))
    with h5py.File(minc, "r+") as file:
        group = file["minc-2.0/image/0"]
        del group[place]
        group[place] = h5py.ExternalLink("secret.h5", f"/minc-2.0/image/0/{place}")
    assert refused(minc).kind is NiftiProblem.HEADER_DAMAGED


def test_minc_file_with_voxels_in_another_file_is_refused(minc: Path) -> None:
    (minc.parent / "secret").write_bytes(bytes(4000))
    with h5py.File(minc, "r+") as file:
        group = file["minc-2.0/image/0"]
        attributes = dict(group["image"].attrs)
        del group["image"]
        image = group.create_dataset(
            "image", (10, 20, 20), "u1", external=[("secret", 0, h5py.h5f.UNLIMITED)]
        )
        image.attrs.update(attributes)
    assert refused(minc).kind is NiftiProblem.HEADER_DAMAGED


def test_minc_file_that_claims_much_and_holds_little(minc: Path) -> None:
    with h5py.File(minc, "r+") as file:
        group = file["minc-2.0/image/0"]
        attributes = dict(group["image"].attrs)
        del group["image"]
        image = group.create_dataset("image", (1000, 1000, 1000), "u1", chunks=(10, 100, 100))
        image.attrs.update(attributes)
    with at_most(1):
        assert refused(minc).kind is StudyProblem.DAMAGED


def test_minc_file_with_other_axes_is_refused(minc: Path) -> None:
    with h5py.File(minc, "r+") as file:
        image = file["minc-2.0/image/0/image"]
        image.attrs["dimorder"] = np.bytes_("zspace,yspace,yspace")
    assert refused(minc).kind is NiftiProblem.HEADER_DAMAGED


@pytest.mark.parametrize("name", ["a.mnc", "a.mgz", "a.mgh", "a.HEAD", "a.PAR", "a.hdr", "a.nii"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1000, b"a text that is none", b"\x89HDF\r\n\x1a\n"]
)
def test_file_that_is_not_what_its_name_says(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path).kind is NiftiProblem.HEADER_DAMAGED


def test_no_name_of_a_patient_reaches_a_series(tmp_path: Path) -> None:
    stem = "phantom_EPI_asc_CLEAR_2_1"
    for suffix in ("PAR", "REC"):
        shutil.copy(DATA / f"{stem}.{suffix}", tmp_path)
    path = tmp_path / f"{stem}.PAR"
    text = path.read_text()
    line = next(line for line in text.splitlines() if "Patient name" in line)
    path.write_text(text.replace(line, ".    Patient name                       :   Doe^Jane"))
    listed = nifti_series(path, tmp_path)
    assert "Jane" not in repr(listed)
    assert "Jane" not in repr(read_nifti(listed[0]))
