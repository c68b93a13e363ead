"""A Parametric Map holds the same values at the same places of the patient, for any reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from napari_ifa.errors import Cancelled, IfaError
from napari_ifa.export import write_parametric_map
from napari_ifa.export.problems import ExportProblem
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume
from tests.places import PROVENANCE, REAL, grid_points, map_of_places, place_value
from tests.problems import refused

Save = Callable[..., Path]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("compressed", [False, True])
def test_highdicom_finds_every_value_at_its_place(
    name: str,
    compressed: bool,
    real_volume: Callable[[str], Volume],
    parametric_map: Callable[..., Path],
) -> None:
    values = map_of_places(real_volume(name))

    found = hd.imread(parametric_map(name, compressed)).get_volume()

    points = grid_points(found.affine, found.spatial_shape)
    stored = found.array
    # In integers what has no value is padding, just below the range.
    known = stored >= -1 if compressed else np.isfinite(stored)
    assert np.count_nonzero(known) == np.count_nonzero(np.isfinite(values.array))
    assert (points[known][:, 0] < 40 + 1e-3).all()
    # Half a step of 65534 between −1 and 1, or a digit of float32.
    tolerance = 1.6e-5 if compressed else 1e-6
    np.testing.assert_allclose(stored[known], place_value(points)[known], atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", REAL)
def test_pydicom_finds_every_frame_at_its_place(
    name: str, real_volume: Callable[[str], Volume], parametric_map: Callable[..., Path]
) -> None:
    volume = real_volume(name)

    data = pydicom.dcmread(parametric_map(name))

    frames = np.frombuffer(data.FloatPixelData, "<f4").reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    row, column = np.mgrid[: data.Rows, : data.Columns]
    for frame, item in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        points = (
            origin
            + column[..., None] * spacing[1] * orientation[:3]
            + row[..., None] * spacing[0] * orientation[3:]
        )
        known = np.isfinite(frame)
        np.testing.assert_allclose(frame[known], place_value(points)[known], atol=1e-6, rtol=0)
    assert len(frames) == volume.shape[volume.source.axes.index(2)]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("compressed", [False, True])
def test_the_validator_finds_no_fault(
    name: str,
    compressed: bool,
    parametric_map: Callable[..., Path],
    faults: Callable[[Path], list[str]],
) -> None:
    assert faults(parametric_map(name, compressed)) == []


@pytest.mark.parametrize("name", ["ct_head", "mr_enhanced_siemens"])
def test_each_frame_refers_to_the_image_that_lies_there(
    name: str, real_volume: Callable[[str], Volume], parametric_map: Callable[..., Path]
) -> None:
    volume = real_volume(name)

    data = pydicom.dcmread(parametric_map(name))

    sources = {
        pydicom.dcmread(frame.image.path, stop_before_pixels=True).SOPInstanceUID: frame.image.path
        for frame in volume.source.frames
        if frame is not None
    }
    for item in data.PerFrameFunctionalGroupsSequence:
        (reference,) = item.DerivationImageSequence[0].SourceImageSequence
        source = pydicom.dcmread(sources[reference.ReferencedSOPInstanceUID])
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert reference.SpatialLocationsPreserved == "YES"
        if "ReferencedFrameNumber" in reference:
            number = int(reference.ReferencedFrameNumber)
            source = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0]
        np.testing.assert_allclose(
            np.array(item.PlanePositionSequence[0].ImagePositionPatient, float),
            np.array(source.ImagePositionPatient, float),
            # Siemens rounds positions to 0.1 µm and more.
            atol=2e-4,
        )
    referred = data.ReferencedSeriesSequence[0]
    assert {i.ReferencedSOPInstanceUID for i in referred.ReferencedInstanceSequence} == set(sources)
    assert data.StudyInstanceUID == pydicom.dcmread(next(iter(sources.values()))).StudyInstanceUID


def test_what_has_no_value_is_nan_or_padding_never_zero(save_series: Save, tmp_path: Path) -> None:
    volume = read_volume(save_series())
    array = np.full(volume.shape, 0.25, np.float32)
    array[0, 0, 0] = np.nan
    values = volume.with_array(array)

    floats = pydicom.dcmread(write_parametric_map(values, PROVENANCE, tmp_path / "a.dcm"))
    integers = pydicom.dcmread(
        write_parametric_map(values, PROVENANCE, tmp_path / "b.dcm", compressed=True)
    )

    stored = np.frombuffer(floats.FloatPixelData, "<f4")
    assert np.isnan(stored).sum() == 1
    assert (stored[~np.isnan(stored)] == 0.25).all()
    # 0.25 lies 1.25 / 2 × 65534 = 40958.75 steps above −1, which is stored as 1; 0 is padding.
    assert sorted(set(integers.pixel_array.ravel().tolist())) == [0, 40959 + 1]
    assert integers.PixelPaddingValue == 0
    mapping = integers.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.RealWorldValueSlope == pytest.approx(2 / 65534)
    assert mapping.RealWorldValueIntercept == pytest.approx(-1 - 2 / 65534)


def test_smooth_maps_are_a_quarter_of_the_size_in_integers(
    real_volume: Callable[[str], Volume], tmp_path: Path
) -> None:
    volume = real_volume("mr_sagittal_oblique")
    # As smooth as what is interpolated from a feature grid.
    points = grid_points(volume.affine, volume.shape)
    values = volume.with_array(np.sin(points @ [0.03, 0.02, 0.05]).astype(np.float32))

    sizes = [
        write_parametric_map(values, PROVENANCE, tmp_path / f"{c}.dcm", compressed=c).stat().st_size
        for c in (False, True)
    ]

    assert sizes[1] < 0.27 * sizes[0]


def test_class_activation_is_mapped_over_its_own_range(save_series: Save, tmp_path: Path) -> None:
    volume = read_volume(save_series())
    values = volume.with_array(np.linspace(-5, 20, 24, dtype=np.float32).reshape(volume.shape))
    logits = replace(PROVENANCE, kind="FS-class activation", scale="")

    out = write_parametric_map(values, logits, tmp_path / "map.dcm")

    shared = pydicom.dcmread(out).SharedFunctionalGroupsSequence[0]
    mapping, window = shared.RealWorldValueMappingSequence[0], shared.FrameVOILUTSequence[0]
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped == -5
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == 20
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.LUTLabel == "FS-activation"
    # Even about zero, which speaks neither for nor against.
    assert (window.WindowCenter, window.WindowWidth) == (0, 40)
    assert sorted(hd.imread(out).get_volume().array.ravel()) == sorted(values.array.ravel())


def test_an_even_map_is_written_too(save_series: Save, tmp_path: Path) -> None:
    volume = read_volume(save_series())
    even = volume.with_array(np.full(volume.shape, 3, np.float32))
    logits = replace(PROVENANCE, scale="")

    for compressed in (False, True):
        out = tmp_path / "map.dcm"
        write_parametric_map(even, logits, out, compressed=compressed, overwrite=True)
        np.testing.assert_allclose(hd.imread(out).get_volume().array, 3)


def test_a_stack_from_head_to_feet_and_a_single_slice_keep_their_place(
    save_series: Save, tmp_path: Path
) -> None:
    falling = save_series(folder="falling", InstanceNumber=lambda k: 9 - k)
    for folder in (falling, save_series(0, folder="single")):
        values = map_of_places(read_volume(folder))
        out = write_parametric_map(values, PROVENANCE, tmp_path / "m.dcm", overwrite=True)
        found = hd.imread(out).get_volume()
        points = grid_points(found.affine, found.spatial_shape)
        np.testing.assert_allclose(found.array, place_value(points), atol=1e-6)
        assert found.spacing == (2, 0.5, 0.25)


def test_says_what_made_it_and_that_it_is_not_for_diagnosis(
    save_series: Save, tmp_path: Path
) -> None:
    values = map_of_places(read_volume(save_series()))

    data = pydicom.dcmread(write_parametric_map(values, PROVENANCE, tmp_path / "map.dcm"))

    derivation = data.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    contribution = data.ContributingEquipmentSequence[0].ContributionDescription
    for text in (data.ImageComments, contribution, derivation.DerivationDescription):
        for part in ("chest network", "ab" * 32, "layer4", "gradcam", "pneumonia"):
            assert part in text
        assert "P10 = -1.2, P90 = 3.4 logits" in text
        assert "not for primary diagnosis" in text
    assert data.SeriesDescription == "S-CAM pneumonia, not for primary diagnosis"
    assert data.ContentQualification == "RESEARCH"
    assert data.Manufacturer == "napari-ifa"
    assert data.SoftwareVersions
    assert data.SeriesNumber == 1007


def test_names_in_any_script_and_of_any_length_are_written(
    save_series: Save, faults: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    values = map_of_places(read_volume(save_series(StudyInstanceUID="1.2.3")))
    odd = replace(PROVENANCE, class_name="Lungenentzündung\\肺炎\n" * 20, model="м" * 500)

    out = write_parametric_map(values, odd, tmp_path / "map.dcm")

    assert pydicom.dcmread(out).ContentDescription.startswith("S-CAM, Lungenentzündung 肺炎")
    assert pydicom.dcmread(out).ManufacturerModelName == "м" * 30 + "…"
    assert faults(out) == []


def test_a_map_without_values_and_without_a_source_is_refused(
    save_series: Save, save_nifti: Save, tmp_path: Path
) -> None:
    volume = read_volume(save_series())
    empty = volume.with_array(np.full(volume.shape, np.nan, np.float32))
    with refused(IfaError, ExportProblem.NO_VALUES):
        write_parametric_map(empty, PROVENANCE, tmp_path / "map.dcm")
    nifti = read_volume(save_nifti(np.zeros((2, 3, 4), np.int16)))
    with refused(IfaError, ExportProblem.NOT_DICOM):
        write_parametric_map(nifti, PROVENANCE, tmp_path / "map.dcm")
    assert [p.name for p in tmp_path.glob("*.dcm")] == []


def test_an_image_without_a_place_is_refused(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    lost = replace(image, source=replace(image.source, placed=False))
    with refused(IfaError, ExportProblem.NO_PLACE):
        write_parametric_map(map_of_places(lost), PROVENANCE, tmp_path / "map.dcm")


def test_stopping_or_failing_leaves_no_file(
    save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = map_of_places(read_volume(save_series()))
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(Cancelled):
        write_parametric_map(values, PROVENANCE, folder / "map.dcm", stop=lambda: True)

    def full_disk(self: Any, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            # As pydicom does, with the element that it was about to write.
            raise OSError(f"{error}\nfor data_element:\n(0010,0010) Doe^Jane")  # noqa: B904

    monkeypatch.setattr(pydicom.Dataset, "save_as", full_disk)
    with refused(IfaError, ExportProblem.NOT_WRITTEN) as caught:
        write_parametric_map(values, PROVENANCE, folder / "map.dcm")
    assert "No space left on device" in caught.value.facts["reason"]
    assert list(folder.iterdir()) == []
