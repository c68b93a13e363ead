"""Files of several images, of colours, and of two files, and how each is written again."""

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
from napari_ifa.export import write_nifti
from napari_ifa.reading import Series, list_series, read_volume
from napari_ifa.reading.nifti import is_nibabel_file, read_nifti
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from tests.refusals import refused

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


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
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert len(caught.value.facts["choices"]) == 5
    # In a folder they stand in their order too.
    assert [s.volume_index for s in list_series(path.parent)] == [0, 1, 2, 3, 4]


def test_image_that_is_not_there_is_one_sentence(save_nifti: Save) -> None:
    path = save_nifti(np.zeros((2, 3, 4, 5), np.int16))
    with pytest.raises(UnsupportedStudyError) as caught:
        read_nifti(Series("0", path, "nifti", volume_index=5))
    assert (caught.value.kind, caught.value.facts["images"]) == (NiftiProblem.NO_SUCH_IMAGE, 5)


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
    assert volume.report.kinds == (NiftiNote.NO_TRANSPARENCY,)


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
    assert refused(header).facts["lacks"] == "image data"


def test_data_file_without_its_header_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "image.img").write_bytes(bytes(48))
    error = refused(tmp_path / "image.img")
    assert (error.kind, error.facts["partner"]) == (NiftiProblem.NO_PARTNER, "image.hdr")


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
    assert volume.report.kinds == (NiftiNote.NO_ORIENTATION,)
    assert volume.source.header is None
    assert list_series(tmp_path)[0].notes == volume.report.notes


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
