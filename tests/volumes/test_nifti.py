"""NIfTI files made by hand: values, units, orientation, and what is refused."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes import Window, default_window, list_series, read_volume, write_nifti
from napari_ifa.volumes.nifti import is_nibabel_file, read_nifti

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def refusal(path: Path) -> str:
    """The sentence, the same from the list and from reading."""
    (series,) = list_series(path)
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert series.unsupported == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "IMAGE.NII.GZ"])
def test_ras_image_by_hand(save_nifti: Save, name: str) -> None:
    affine = [[2, 0, 0, 5], [0, 3, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1]]
    volume = read_volume(save_nifti(CUBE, affine, name))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, CUBE.transpose(2, 1, 0)[::-1, ::-1, ::-1])
    assert volume.spacing == (4, 3, 2)
    # The topmost, foremost, rightmost voxel is the file's last: RAS (7, -1, 13).
    np.testing.assert_allclose(volume.affine[:3, 3], [-7, 1, 13])
    assert volume.description.lower() == "image"
    assert volume.report.notes == ()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("u1", "i2"), ("i1", "i2"), ("<i2", "i2"), (">i2", "i2"), ("u2", "i2"), ("i4", "i2"),
        ("f4", "f4"), (">f4", "f4"), ("f8", "f4"),
    ],
)  # fmt: skip
def test_types(save_nifti: Save, dtype: str, expected: str) -> None:
    data = CUBE.astype(dtype)
    path = save_nifti(data)
    header = nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    nibabel.Nifti1Image(data, np.eye(4), header).to_filename(path)
    array = read_volume(path).array
    assert array.dtype == expected
    assert array.dtype.isnative
    assert array.max() == 23


def test_integers_beyond_int16_become_float32(save_nifti: Save) -> None:
    array = read_volume(save_nifti(CUBE.astype(np.int32) + 40000)).array
    assert array.dtype == np.float32
    assert (array.min(), array.max()) == (40000, 40023)


def test_scaled_integers(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii")
    with path.open("r+b") as file:
        # scl_slope and scl_inter stand at byte 112.
        file.seek(112)
        file.write(np.array([0.5, -3], "<f4").tobytes())
    array = read_volume(path).array
    assert array.dtype == np.float32
    assert (array.min(), array.max()) == (-3, 8.5)


@pytest.mark.parametrize(("units", "factor"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)])
def test_lengths_become_mm(save_nifti: Save, units: str, factor: float) -> None:
    volume = read_volume(save_nifti(CUBE, np.diag([2, 3, 4, 1]), units=units))
    np.testing.assert_allclose(volume.spacing, np.multiply((4, 3, 2), factor))


def test_display_range_of_the_header_is_a_window(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE, cal_min=4, cal_max=12))
    assert volume.windows == (Window(8, 8),)
    assert default_window(volume).limits == (4, 12)


def test_no_orientation_opens_with_a_warning(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE, sform_code=0))
    assert volume.report.notes == (
        "image.nii.gz: no orientation stored; left and right are unverified.",
    )


def two_forms(path: Path, sform: Any, qform: Any, codes: tuple[int, int]) -> Path:
    image = nibabel.Nifti1Image(CUBE, None)
    image.header.set_qform(np.diag([*qform, 1.0]), codes[1])
    image.header.set_sform(np.diag([*sform, 1.0]), codes[0])
    nibabel.Nifti1Image(CUBE, None, image.header).to_filename(path / "image.nii")
    return path / "image.nii"


@pytest.mark.parametrize(
    ("qform", "codes"),
    [
        ((-2, 3, 4), (1, 1)),  # a mirror between the two
        ((-2, 3, 4), (4, 1)),  # in whatever space
        ((-2, -3, 4), (1, 1)),  # half a turn, although the space is the same
    ],
)
def test_orientations_that_contradict_each_other_are_unverified(
    tmp_path: Path, qform: tuple[int, ...], codes: tuple[int, int]
) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), qform, codes))
    assert volume.report.unverified
    assert volume.report.notes == (
        "image.nii: its two orientations (sform and qform) contradict each other; shown by the"
        " first, left and right are unverified.",
    )


@pytest.mark.parametrize(
    ("qform", "codes"),
    [
        ((2, 3, 4), (1, 1)),
        ((-2, -3, 4), (4, 1)),  # half a turn to an atlas
        ((-2, 3, 4), (1, 0)),  # no orientation at all
    ],
)
def test_orientations_that_agree_need_no_note(
    tmp_path: Path, qform: tuple[int, ...], codes: tuple[int, int]
) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), qform, codes))
    assert not volume.report.unverified
    assert volume.report.notes == ()


def test_voxel_sizes_that_differ_are_named(tmp_path: Path) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), (1, 1, 1), (1, 1)))
    assert volume.spacing == (4, 3, 2)
    assert volume.report.notes == (
        "image.nii: its two voxel sizes (sform 2 × 3 × 4, pixdim 1 × 1 × 1) differ; shown by the"
        " first, check a length before you measure.",
    )
    # An atlas may be larger than the patient.
    assert read_volume(two_forms(tmp_path, (2, 3, 4), (1, 1, 1), (4, 1))).report.notes == ()


def test_trailing_axis_of_one_is_dropped(save_nifti: Save) -> None:
    assert read_volume(save_nifti(CUBE[..., None])).shape == (4, 3, 2)


def test_two_dimensions_are_one_slice(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE[:, :, 0]))
    assert volume.shape == (1, 3, 2)


def test_each_image_of_four_dimensions_is_a_series(save_nifti: Save) -> None:
    data = np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5)
    path = save_nifti(data)
    listed = list_series(path)
    assert [s.part for s in listed] == [f"image {k} of 5" for k in range(1, 6)]
    assert [s.volume_index for s in listed] == [0, 1, 2, 3, 4]
    assert {s.shape for s in listed} == {(4, 3, 2)}
    assert listed[2].title == "image, image 3 of 5, 4 images"
    assert len({s.key for s in listed}) == 5
    volume = read_volume(listed[2])
    np.testing.assert_array_equal(volume.in_source_order()[0], data[..., 2])
    assert volume.description == "image, image 3 of 5"
    with pytest.raises(UnsupportedStudyError, match="5 series found; choose one with --series KEY"):
        read_volume(path)
    # In a folder they stand in their order too.
    assert [s.volume_index for s in list_series(path.parent)] == [0, 1, 2, 3, 4]


def test_image_that_is_not_there_is_one_sentence(save_nifti: Save) -> None:
    path = save_nifti(np.zeros((2, 3, 4, 5), np.int16))
    with pytest.raises(UnsupportedStudyError) as caught:
        read_nifti(path, 5)
    assert str(caught.value) == "image.nii.gz: there is no image 6; the file has 5."


def test_fifth_axis_counts_on_after_the_fourth(save_nifti: Save) -> None:
    data = np.arange(144, dtype=np.int16).reshape(2, 3, 4, 2, 3)
    listed = list_series(save_nifti(data))
    assert len(listed) == 6
    # The fourth axis runs faster: the fourth image is (1, 1).
    np.testing.assert_array_equal(read_volume(listed[3]).in_source_order()[0], data[..., 1, 1])


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_other_images_of_the_file_are_not_held(save_nifti: Save, name: str) -> None:
    path = save_nifti(np.zeros((64, 64, 32, 40), np.int16), name=name)
    one = 64 * 64 * 32 * 2
    listed = list_series(path)
    tracemalloc.start()
    try:
        read_volume(listed[39])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * one


def test_colours(save_nifti: Save) -> None:
    names = [("R", "u1"), ("G", "u1"), ("B", "u1")]
    data = np.zeros((2, 3, 4), names)
    data["R"], data["G"], data["B"] = CUBE, CUBE + 100, CUBE + 200
    volume = read_volume(save_nifti(data))
    assert volume.is_colour
    assert volume.array.dtype == np.uint8
    assert volume.array.shape == (4, 3, 2, 3)
    array, _ = volume.in_source_order()
    np.testing.assert_array_equal(array[..., 1], CUBE + 100)
    assert volume.report.notes == ()
    with_alpha = np.zeros((2, 3, 4), [*names, ("A", "u1")])
    with_alpha["B"] = CUBE
    volume = read_volume(save_nifti(with_alpha))
    np.testing.assert_array_equal(volume.in_source_order()[0][..., 2], CUBE)
    assert volume.report.notes == ("image.nii.gz: transparency (the alpha channel) is left out.",)


def test_complex_numbers_are_magnitude_and_phase(save_nifti: Save) -> None:
    data = np.zeros((2, 3, 4, 2), np.complex64)
    data[..., 1] = 3 + 4j
    listed = list_series(save_nifti(data))
    assert [s.part for s in listed] == [
        "image 1 of 2, magnitude", "image 1 of 2, phase",
        "image 2 of 2, magnitude", "image 2 of 2, phase",
    ]  # fmt: skip
    assert [float(read_volume(s).array.max()) for s in listed] == pytest.approx(
        [0, 0, 5, np.arctan2(4, 3)]
    )
    single = list_series(save_nifti(data[..., 0]))
    assert [s.part for s in single] == ["magnitude", "phase"]


@pytest.mark.parametrize("dtype", ["i8", "u8", "f8"])
def test_wide_numbers_become_float32(save_nifti: Save, tmp_path: Path, dtype: str) -> None:
    data = CUBE.astype(dtype) + np.array(2**40, dtype)
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    image.to_filename(tmp_path / "wide.nii")
    array = read_volume(tmp_path / "wide.nii").array
    assert array.dtype == np.float32
    assert array.max() == np.float32(2**40 + 23)


def test_infinities_and_nan_are_kept(save_nifti: Save) -> None:
    data = CUBE.astype(np.float64)
    data[0, 0] = [np.inf, -np.inf, np.nan, 1e300]
    array, _ = read_volume(save_nifti(data)).in_source_order()
    np.testing.assert_array_equal(array[0, 0], [np.inf, -np.inf, np.nan, np.inf])


def test_later_plane_that_does_not_fit_int16_leaves_the_earlier_ones(save_nifti: Save) -> None:
    data = CUBE.astype(np.int32)
    data[:, :, 3] = 100_000
    array, _ = read_volume(save_nifti(data)).in_source_order()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, data)


# Single bits, quadruple precision, and a code of no type.
@pytest.mark.parametrize(("code", "bits"), [(1, 1), (1536, 128), (999, 16)])
def test_other_types_are_refused(save_nifti: Save, code: int, bits: int) -> None:
    path = save_nifti(CUBE, name="image.nii")
    with path.open("r+b") as file:
        # datatype and bitpix stand at byte 70.
        file.seek(70)
        file.write(np.array([code, bits], "<i2").tobytes())
    assert refusal(path) == (
        "image.nii: its values are stored as a type of number that is not read. Not opened."
    )


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("suffixes", [(".hdr", ".img"), (".HDR", ".IMG"), (".hdr", ".img.gz")])
def test_pair_is_one_series(tmp_path: Path, kind: Any, suffixes: tuple[str, str]) -> None:
    kind(CUBE, np.diag([2, 3, 4, 1])).to_filename(tmp_path / "made.hdr")
    header, data = (tmp_path / f"image{suffix}" for suffix in suffixes)
    (tmp_path / "made.hdr").rename(header)
    voxels = (tmp_path / "made.img").read_bytes()
    (tmp_path / "made.img").unlink()
    data.write_bytes(gzip.compress(voxels) if data.suffix == ".gz" else voxels)
    (series,) = list_series(tmp_path)
    assert series.path == header
    assert series.files == (header, data)
    for path in (tmp_path, header, data):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.in_source_order()[0], CUBE)
        assert volume.spacing == (4, 3, 2)
    assert list_series(data) == [series]
    data.unlink()
    assert refusal(header) == (
        f"{header.name}: its image data image{suffixes[1].removesuffix('.gz')} is missing; put"
        " both files into one folder."
    )


def test_data_file_without_its_header_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "image.img").write_bytes(bytes(48))
    assert refusal(tmp_path / "image.img") == (
        "image.img: its header image.hdr is missing; put both files into one folder."
    )


def test_dicom_file_of_any_name_is_dicom(save_series: Save) -> None:
    folder = save_series(0)
    (folder / "slice0.dcm").rename(folder / "slice0.img")
    (series,) = list_series(folder)
    assert series.kind == "dicom"
    # Without the 128 bytes and the mark before it, as in old files.
    content = (folder / "slice0.img").read_bytes()
    (folder / "slice0.img").write_bytes(content[132:])
    assert not is_nibabel_file(folder / "slice0.img")
    (folder / "slice0.hdr").write_bytes(bytes(348))
    assert is_nibabel_file(folder / "slice0.img")


@pytest.mark.parametrize(
    "kind", [nibabel.AnalyzeImage, nibabel.Spm99AnalyzeImage, nibabel.Spm2AnalyzeImage]
)
def test_analyze_opens_unverified(tmp_path: Path, kind: Any) -> None:
    image = kind(CUBE, None)
    image.header.set_zooms((2, 3, 4))
    image.to_filename(tmp_path / "image.hdr")
    (tmp_path / "image.mat").unlink(missing_ok=True)
    volume = read_volume(tmp_path)
    # By custom of the format the first axis runs to the left; the file does not say so.
    np.testing.assert_array_equal(volume.array, CUBE.transpose(2, 1, 0)[::-1, ::-1])
    assert volume.spacing == (4, 3, 2)
    assert volume.report.unverified
    assert volume.report.badge == "left/right unverified"
    assert volume.report.notes == (
        "image.hdr: no orientation stored; left and right are unverified.",
    )
    assert volume.source.header is None
    assert list_series(tmp_path)[0].notes == volume.report.notes


def test_matrix_of_spm_beside_an_analyze_image_is_named(tmp_path: Path) -> None:
    nibabel.Spm99AnalyzeImage(CUBE, np.diag([2, 3, 4, 1])).to_filename(tmp_path / "image.hdr")
    assert (tmp_path / "image.mat").is_file()
    assert read_volume(tmp_path).report.notes[1] == (
        "image.hdr: the orientation that SPM keeps in image.mat is not read; save the image as"
        " NIfTI to have it."
    )


def test_size_that_no_header_states_is_not_made_up(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii", sform_code=0)
    with path.open("r+b") as file:
        # pixdim[3] stands at byte 88.
        file.seek(88)
        file.write(bytes(4))
    assert refusal(path) == "image.nii: no voxel size stored; lengths are unknown. Not opened."


def test_extensions_do_not_reach_the_volume(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(CUBE, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    image.to_filename(tmp_path / "image.nii.gz")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.in_source_order()[0], CUBE)
    assert len(volume.source.header.extensions) == 0
    assert b"Jane" not in volume.source.header.binaryblock


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 1), (6, 5)])
def test_negative_determinant_and_oblique_axes_agree_with_nibabel(
    save_nifti: Save, shape: tuple[int, ...]
) -> None:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 3.0, 4.0]) @ np.eye(3)[:, [2, 0, 1]]
    affine[:3, 3] = 5, -6, 7
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    volume = read_volume(save_nifti(data, affine))
    array, back = volume.in_source_order()
    np.testing.assert_array_equal(array.reshape(shape), data)
    np.testing.assert_allclose(back, affine, atol=1e-5)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
        [[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
)
def test_singular_affine_is_refused(save_nifti: Save, matrix: list[list[float]]) -> None:
    path = save_nifti(CUBE, name="image.nii")
    rows = np.zeros((3, 4), "<f4")
    rows[:, :3] = matrix
    with path.open("r+b") as file:
        # srow_x, srow_y and srow_z stand at byte 280.
        file.seek(280)
        file.write(rows.tobytes())
    assert refusal(path) == "image.nii: the orientation matrix is invalid. Not opened."


def test_sheared_image_is_straightened_and_says_so(save_nifti: Save) -> None:
    affine = np.eye(4)
    # Each slice starts one voxel further to the right than the one below: a shear of 45°.
    affine[0, 2] = 1
    data = CUBE + 7
    volume = read_volume(save_nifti(data, affine))
    assert volume.report.sheared
    assert volume.report.resampled
    assert volume.report.badge == "shear corrected"
    assert volume.report.notes == (
        "image.nii.gz: the axes miss the right angle by 45.0° (sheared); shown straightened by"
        " interpolation, do not measure on it.",
    )
    array, straight = volume.in_source_order()
    np.testing.assert_allclose(straight, np.eye(4), atol=1e-6)
    expected = np.full((5, 3, 4), 7)
    for k in range(4):
        expected[k : k + 2, :, k] = data[:, :, k]
    np.testing.assert_allclose(array, expected)
    (series,) = list_series(save_nifti(data, affine))
    assert (series.shape, series.spacing) == (volume.shape, volume.spacing)
    assert series.notes == volume.report.notes


def test_shear_within_rounding_is_left_alone(save_nifti: Save) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.0005
    assert not read_volume(save_nifti(CUBE, affine)).report.sheared
    affine[0, 1] = 0.002
    assert read_volume(save_nifti(CUBE, affine)).report.sheared


def test_axes_that_nearly_coincide_are_refused(save_nifti: Save) -> None:
    affine = np.eye(4)
    # Each row of 20 voxels begins where the last one ended.
    affine[:3, 1] = 20, 0.01, 0
    assert refusal(save_nifti(np.zeros((20, 20, 20), np.int16), affine)) == (
        "image.nii.gz: the axes are too far from right angles (sheared) to be straightened. Not"
        " opened."
    )


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_truncated_file_is_one_sentence(save_nifti: Save, name: str) -> None:
    noise = np.random.default_rng(0).integers(-9999, 9999, (20, 20, 20)).astype(np.int16)
    path = save_nifti(noise, name=name)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert str(caught.value) == f"{name}: image data incomplete or damaged; not opened."


@pytest.mark.parametrize("content", [b"", b"not an image at all", bytes(400)])
def test_damaged_header_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    for name, data in (
        ("a.nii", content),
        ("a.nii.gz", gzip.compress(content)),
        ("b.nii.gz", content),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert refusal(path) == (
            f"{name}: not a readable NIfTI file; its header is damaged or incomplete."
        )


def test_impossible_size_is_refused_before_it_is_allocated(
    save_nifti: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("image.nii", "image.nii.gz"):
        path = save_nifti(CUBE, name=name)
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "rb") as file:
            content = bytearray(file.read())
        # dim stands at byte 40.
        content[40:48] = np.array([3, 30000, 30000, 30000], "<i2").tobytes()
        with opener(path, "wb") as file:
            file.write(content)
        with pytest.raises(UnsupportedStudyError, match="claims 30000 × 30000 × 30000 voxels"):
            read_volume(path)
        content[40:48] = np.array([3, 300, 300, 300], "<i2").tobytes()
        with opener(path, "wb") as file:
            file.write(content)
        monkeypatch.setattr(np, "empty", None)
        assert refusal(path) == f"{name}: image data incomplete or damaged; not opened."
        monkeypatch.undo()


PAIRS = [nibabel.Nifti1Pair, nibabel.Nifti2Pair, nibabel.AnalyzeImage, nibabel.MGHImage]


@pytest.mark.parametrize("kind", PAIRS)
def test_explanation_is_written_on_the_grid_of_any_source(tmp_path: Path, kind: Any) -> None:
    oblique = np.array(
        [[-1.6, 0.9, 0, 5], [1.2, 1.2, 0, -6], [0, 0, 4, 7], [0, 0, 0, 1]], dtype=float
    )
    affine = None if kind is nibabel.AnalyzeImage else oblique
    name = "image.mgz" if kind is nibabel.MGHImage else "image.hdr"
    kind(CUBE, affine).to_filename(tmp_path / name)
    volume = read_volume(tmp_path)
    values = np.linspace(-1, 1, 24, dtype=np.float32).reshape(volume.shape)
    out = write_nifti(volume.with_array(values), tmp_path / "out" / "explained.nii.gz")
    again = read_volume(out)
    np.testing.assert_array_equal(again.array, values)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-5)
    if affine is not None:
        np.testing.assert_allclose(nibabel.load(out).affine, affine, atol=1e-5)


def test_explanation_of_one_image_of_many_is_one_image(save_nifti: Save, tmp_path: Path) -> None:
    affine = np.diag([-2.0, 3, 4, 1])
    listed = list_series(save_nifti(np.zeros((2, 3, 4, 5), np.int16), affine))
    volume = read_volume(listed[3])
    values = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 3, 2)
    out = write_nifti(volume.with_array(values), tmp_path / "explained.nii")
    image = nibabel.load(out)
    assert image.shape == (2, 3, 4)
    np.testing.assert_allclose(image.affine, affine)
    np.testing.assert_array_equal(read_volume(out).array, values)
