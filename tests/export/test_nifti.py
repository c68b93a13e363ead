"""NIfTI export: the source's grid, header and axis order; whole files only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_ifa.errors import IfaError
from napari_ifa.export import write_nifti
from napari_ifa.export.problems import ExportProblem
from napari_ifa.reading import read_volume
from tests.problems import refused

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
# Left-handed, oblique, with a digit that a sum in another order would change.
ODD_AFFINE = np.array(
    [[-0.1, 0.0, 3.0, 10.1], [0.0, 0.7, 0.0, -20.3], [2.0, 0.0, 0.15, 30.7], [0, 0, 0, 1]]
)


def test_round_trip_through_another_volume_on_the_same_grid(
    save_nifti: Save, tmp_path: Path
) -> None:
    source = save_nifti(CUBE, ODD_AFFINE, sform_code=4, qform_code=2, cal_min=1, cal_max=9)
    volume = read_volume(source)
    out = write_nifti(volume.with_array(volume.array * 0.5), tmp_path / "out.nii.gz")
    before, after = nibabel.load(source), nibabel.load(out)
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in ("srow_x", "qoffset_x", "quatern_b", "pixdim", "sform_code", "qform_code"):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    np.testing.assert_array_equal(after.get_fdata(), CUBE * 0.5)
    assert after.get_data_dtype() == np.float32
    assert after.header["cal_min"] == after.header["cal_max"] == 0
    assert (after.dataobj.slope, after.dataobj.inter) == (1, 0)


def test_scaled_source_is_not_scaled_again(save_nifti: Save, tmp_path: Path) -> None:
    source = save_nifti(CUBE, name="scaled.nii")
    with source.open("r+b") as file:
        file.seek(112)
        file.write(np.array([0.5, -3], "<f4").tobytes())
    out = write_nifti(read_volume(source), tmp_path / "out.nii")
    after = nibabel.load(out)
    np.testing.assert_allclose(after.get_fdata(), CUBE * 0.5 - 3)
    # As stored: nibabel hides the two from the header it hands out.
    assert np.frombuffer(out.read_bytes()[112:120], "<f4").tolist() == [1, 0]


def test_metres_stay_metres(save_nifti: Save, tmp_path: Path) -> None:
    source = save_nifti(CUBE, np.diag([0.002, 0.003, 0.004, 1]), units="meter")
    out = write_nifti(read_volume(source), tmp_path / "out.nii")
    after = nibabel.load(out)
    np.testing.assert_array_equal(after.affine, nibabel.load(source).affine)
    assert after.header.get_xyzt_units()[0] == "meter"
    np.testing.assert_allclose(read_volume(out).spacing, (4, 3, 2), rtol=1e-6)


def test_no_orientation_stays_no_orientation(save_nifti: Save, tmp_path: Path) -> None:
    source = save_nifti(CUBE, sform_code=0)
    after = nibabel.load(write_nifti(read_volume(source), tmp_path / "out.nii"))
    assert after.header["sform_code"] == after.header["qform_code"] == 0
    np.testing.assert_array_equal(after.affine, nibabel.load(source).affine)


@pytest.mark.parametrize("units", ["mm", "meter"])
def test_a_flat_image_without_an_orientation_gets_none(tmp_path: Path, units: str) -> None:
    # The header has two dimensions, and a third voxel size all the same.
    image = nibabel.Nifti1Image(np.zeros((3, 4), np.int16), np.diag([2.0, 3, 4, 1]))
    image.header.set_xyzt_units(units)
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    image.to_filename(tmp_path / "flat.nii")
    volume = read_volume(tmp_path / "flat.nii")
    assert volume.report.unverified
    again = read_volume(write_nifti(volume, tmp_path / "out.nii"))
    assert again.report.unverified
    np.testing.assert_allclose(again.affine, volume.affine)


def test_nifti2_stays_nifti2_and_big_endian_is_read_back(tmp_path: Path) -> None:
    source = tmp_path / "two.nii"
    nibabel.Nifti2Image(CUBE, ODD_AFFINE).to_filename(source)
    out = write_nifti(read_volume(source), tmp_path / "out.nii")
    assert isinstance(nibabel.load(out), nibabel.Nifti2Image)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.Nifti1Image(CUBE, ODD_AFFINE, header).to_filename(source)
    out = write_nifti(read_volume(source), tmp_path / "out.nii", overwrite=True)
    np.testing.assert_array_equal(nibabel.load(out).get_fdata(), CUBE)


def test_extensions_and_comments_are_left_behind(save_nifti: Save, tmp_path: Path) -> None:
    source = save_nifti(CUBE, descrip=b"Doe^Jane", aux_file=b"jane.txt", intent_code=1002)
    image = nibabel.load(source)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    patient = tmp_path / "patient.nii"
    image.to_filename(patient)
    assert b"Doe" in patient.read_bytes()
    out = write_nifti(read_volume(patient), tmp_path / "out.nii")
    assert b"Doe" not in out.read_bytes()
    assert nibabel.load(out).header["intent_code"] == 0


def test_missing_values_stay_missing(save_nifti: Save, tmp_path: Path) -> None:
    volume = read_volume(save_nifti(CUBE))
    values = volume.array.astype(np.float32)
    values[0] = np.nan
    out = write_nifti(volume.with_array(values), tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(read_volume(out).array, values)


def test_dicom_source_keeps_its_slice_order(save_series: Save, tmp_path: Path) -> None:
    volume = read_volume(save_series())
    out = write_nifti(volume, tmp_path / "out.nii.gz")
    image = nibabel.load(out)
    # Column 2, row 1, slice 3 holds 312 and lies at LPS (10.5, 20.5, 36).
    assert image.get_fdata()[2, 1, 3] == 312
    np.testing.assert_allclose(image.affine @ [2, 1, 3, 1], [-10.5, -20.5, 36, 1])
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    assert image.header.get_xyzt_units()[0] == "mm"
    again = read_volume(out)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-6)


def test_a_straightened_image_stays_in_its_space(save_nifti: Save, tmp_path: Path) -> None:
    """Sheared by a quarter in the space of an atlas (code 4)."""
    sheared = np.array([[2, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    volume = read_volume(save_nifti(CUBE, sheared, sform_code=4))
    assert volume.report.sheared
    after = nibabel.load(write_nifti(volume, tmp_path / "out.nii"))
    assert after.header["sform_code"] == after.header["qform_code"] == 4
    again = read_volume(tmp_path / "out.nii")
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
    np.testing.assert_array_equal(again.array, volume.array.astype(np.float32))


def test_no_orientation_is_claimed_for_a_picture_or_an_image_without_a_place(
    save_series: Save, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(picture)
    dicom = read_volume(save_series(0))
    lost = replace(dicom, source=replace(dicom.source, placed=False))
    for volume, first in ((read_volume(picture), [0, 1, 2]), (lost, [0, 1, 2])):
        image = nibabel.load(write_nifti(volume, tmp_path / "out.nii", overwrite=True))
        assert image.header["sform_code"] == image.header["qform_code"] == 0
        assert image.get_fdata()[:, 0, 0].tolist() == first
        in_file = np.array(volume.spacing)[np.argsort(volume.source.axes)]
        np.testing.assert_allclose(image.header.get_zooms(), in_file)
        assert read_volume(tmp_path / "out.nii").report.unverified


def test_failure_leaves_the_old_file_and_no_other(
    save_nifti: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(save_nifti(CUBE))
    folder = tmp_path / "results"
    folder.mkdir()
    write_nifti(volume, folder / "out.nii.gz")
    older = (folder / "out.nii.gz").read_bytes()

    def full_disk(_: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel.Nifti1Image, "to_filename", full_disk)
    with pytest.raises(IfaError) as caught:
        write_nifti(volume, folder / "out.nii.gz", overwrite=True)
    assert re.fullmatch(
        r"out\.nii\.gz: cannot be written \(No space left on device: [\d.,]+ .iB free\); choose"
        r" another folder\.",
        str(caught.value),
    )
    assert [p.name for p in folder.iterdir()] == ["out.nii.gz"]
    assert (folder / "out.nii.gz").read_bytes() == older


def test_name_and_folder_must_be_usable(save_nifti: Save, tmp_path: Path) -> None:
    volume = read_volume(save_nifti(CUBE))
    with refused(IfaError, ExportProblem.NO_NIFTI_NAME):
        write_nifti(volume, tmp_path / "out.img")
    (tmp_path / "file").touch()
    with refused(IfaError, ExportProblem.NOT_WRITTEN):
        write_nifti(volume, tmp_path / "file" / "out.nii")


def test_missing_folders_are_made(save_nifti: Save, tmp_path: Path) -> None:
    out = write_nifti(read_volume(save_nifti(CUBE)), tmp_path / "new" / "folder" / "out.nii")

    assert out.is_file()


def test_names_in_a_header_reach_neither_the_volume_nor_the_export(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(CUBE, np.eye(4))
    image.header["db_name"] = b"DOE^JOHN"
    image.header["data_type"] = b"ID12345"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JOHN"))
    nibabel.save(image, tmp_path / "source.nii")

    volume = read_volume(tmp_path / "source.nii")
    out = write_nifti(volume, tmp_path / "out.nii")

    assert not list(volume.source.header.extensions)
    for secret in (b"DOE", b"ID12345"):
        assert secret in (tmp_path / "source.nii").read_bytes()
        assert secret not in out.read_bytes()
