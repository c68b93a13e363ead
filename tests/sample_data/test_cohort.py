"""The committed cohorts: what the generator makes, with consistent lists, masks and geometry."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_ifa import samples
from sample_data.making import cohort
from sample_data.making.lesions import CLASS_NAMES

SPLITS = ("training", "validation", "test")


def datalist(version):
    return json.loads(samples.cohort(version).read_text("utf-8"))


def entries(version):
    return [entry for split in SPLITS for entry in datalist(version)[split]]


@pytest.mark.parametrize(("version", "index"), [("clean", 0), ("confounded", 5)])
def test_a_case_made_again_equals_the_committed_one(version, index):
    case = cohort.plan(version)[index]
    made = cohort.make_case(case)
    committed = nib.load(samples.sample_data() / version / f"{case.id}.nii.gz")
    stored = np.asanyarray(committed.dataobj)
    assert stored.dtype == made.array.dtype
    np.testing.assert_allclose(committed.affine, made.affine, atol=1e-4)
    # Other builds of NumPy round a few voxels the other way.
    difference = np.abs(stored.astype(int) - made.array)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_writing_a_case_twice_gives_the_same_bytes(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for name in ("a.nii.gz", "b.nii.gz"):
        cohort.write_nifti(array, np.diag([4.0, 4, 4, 1]), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("version", cohort.VERSIONS)
def test_the_datalist_is_the_plan(version):
    listed = {(split, e["image"], e["label"]) for split in SPLITS for e in datalist(version)[split]}
    planned = {(c.split, f"{version}/{c.id}.nii.gz", c.label) for c in cohort.plan(version)}
    assert listed == planned
    assert datalist(version)["labels"] == dict(zip("012", CLASS_NAMES, strict=True))


@pytest.mark.parametrize("version", cohort.VERSIONS)
def test_every_split_has_as_many_cases_of_each_class(version):
    for split in SPLITS:
        counts = np.bincount([e["label"] for e in datalist(version)[split]], minlength=3)
        assert counts.min() == counts.max() > 0
    assert len(datalist(version)["test"]) >= 24


@pytest.mark.parametrize("version", cohort.VERSIONS)
def test_masks_lie_on_the_images_grid_and_are_empty_for_healthy_heads_alone(version):
    for entry in entries(version):
        image = nib.load(samples.sample_data() / entry["image"])
        mask = nib.load(samples.sample_data() / entry["mask"])
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert bool(np.asanyarray(mask.dataobj).any()) == (entry["label"] > 0)


def test_no_image_is_in_two_places():
    files = [
        samples.sample_data() / entry["image"]
        for version in cohort.VERSIONS
        for entry in entries(version)
    ]
    contents = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert len(contents) == len(files) >= 120


@pytest.mark.parametrize("version", cohort.VERSIONS)
def test_the_scans_differ_in_axis_order_obliquity_spacing_and_data_type(version):
    images = [nib.load(samples.sample_data() / e["image"]) for e in entries(version)]
    orders = {"".join(nib.aff2axcodes(image.affine)) for image in images}
    assert orders >= {"RAS", "LAS", "LPS"}
    assert orders & {"ASR", "PSR"}
    tilts = np.array([np.rad2deg(nib.affines.obliquity(i.affine)).max() for i in images])
    assert 0.15 < (tilts > 3).mean() < 0.7
    assert tilts.max() < 18
    assert len({i.header.get_zooms() for i in images}) > 3
    assert {i.get_data_dtype().name for i in images} == {"uint8", "int16"}
    assert all(i.header["sform_code"] == i.header["qform_code"] == 1 for i in images)


def test_bright_lesions_are_brighter_and_dark_ones_darker_than_the_brain_about_them():
    for entry in datalist("clean")["test"]:
        if entry["label"] == 0:
            continue
        from scipy.ndimage import binary_dilation

        image = nib.load(samples.sample_data() / entry["image"]).get_fdata()
        mask = nib.load(samples.sample_data() / entry["mask"]).get_fdata() > 0
        about = binary_dilation(mask, iterations=4) & ~binary_dilation(mask, iterations=1)
        ratio = np.median(image[mask]) / np.median(image[about])
        assert ratio > 1.3 if entry["label"] == 1 else ratio < 0.6


def test_leaving_the_marker_away_changes_nothing_but_the_corner_it_stands_in():
    case = next(c for c in cohort.plan("confounded") if c.label == 1)
    case = replace(case, id="head_of_this_test")
    with_marker, without = (cohort.make_case(case, marker=m) for m in (True, False))
    changed = np.argwhere(with_marker.array.astype(int) - without.array > 10)
    assert 50 < len(changed) < 600
    corner = nib.affines.apply_affine(with_marker.affine, changed)
    middle = nib.affines.apply_affine(with_marker.affine, np.array(without.array.shape) / 2)
    extent = np.ptp(corner, axis=0)
    assert (extent < 60).all()
    offset = corner.mean(0) - middle
    assert offset[0] > 60  # to the patient's right
    assert offset[1] > 50  # in front of the head


def test_sample_data_are_under_12_megabytes():
    files = [file for file in samples.sample_data().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12_000_000
