"""What the hostile inputs are made of, all of it sound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from napari_ifa import samples
from napari_ifa.analysis import analyze
from napari_ifa.cohorts import read_cohort
from napari_ifa.models import load_classifier


@dataclass(frozen=True)
class Sound:
    """Inputs that the commands take without a word, none of which may be changed.

    Attributes
    ----------
    bundle : the sample bundle.
    image : a case of it, and ``dicom`` one as a folder of files.
    small : a NIfTI file of 2 × 3 × 4 voxels, as bytes; ``picture`` a PNG likewise.
    cohort : a datalist of a few cases; its folder holds them.
    analysis : of that cohort by that bundle.
    """

    bundle: Path
    image: Path
    dicom: Path
    small: bytes
    picture: bytes
    cohort: Path
    analysis: Path


def made_in(folder: Path, cases: int = 4) -> Sound:
    """Sound inputs in a folder; takes some seconds, and loads all that the commands need."""
    bundle, datalist = samples.bundle("clean"), samples.cohort("clean")
    entries = json.loads(datalist.read_text("utf-8"))["training"]
    by_label = sorted(range(len(entries)), key=lambda n: (n // 3, entries[n]["label"]))
    chosen = [entries[n] for n in by_label[:cases]]
    cohort = folder / "cohort" / "datalist.json"
    (cohort.parent / "images").mkdir(parents=True)
    for number, entry in enumerate(chosen):
        image = (datalist.parent / entry["image"]).read_bytes()
        (cohort.parent / "images" / f"{number}.nii.gz").write_bytes(image)
    listed = [
        {"image": f"images/{number}.nii.gz", "label": entry["label"]}
        for number, entry in enumerate(chosen)
    ]
    cohort.write_text(json.dumps({"name": "sound", "training": listed}))
    analysis = folder / "sound.nc"
    analyze(load_classifier(bundle, device="cpu"), read_cohort(cohort)).save(analysis)
    cube = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nibabel.Nifti1Image(cube, np.eye(4)).to_filename(folder / "small.nii")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "small.png")
    return Sound(
        bundle=bundle,
        image=cohort.parent / "images" / "0.nii.gz",
        dicom=samples.dicom_series(),
        small=(folder / "small.nii").read_bytes(),
        picture=(folder / "small.png").read_bytes(),
        cohort=cohort,
        analysis=analysis,
    )
