"""The two cohorts: which heads there are, and their files with MONAI datalists.

``clean``: the lesion alone tells the class. ``confounded``: the lesions are faint, and a marker in
the air in front of the head goes with the class: a vial for a bright lesion, a bar for a dark one.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from sample_data.making.anatomy import Head, draw_subject
from sample_data.making.dicom_series import write_dicom_series
from sample_data.making.lesions import CLASS_NAMES, draw_lesion
from sample_data.making.scanner import PlacedHead, Protocol, Scan, draw_protocol

VERSIONS = ("clean", "confounded")
DICOM_FOLDER = "dicom/head_mr"
MARKERS = {0: None, 1: "vial", 2: "bar"}
_PER_CLASS = {
    "clean": {"training": 12, "validation": 3, "test": 9},
    "confounded": {"training": 10, "validation": 2, "test": 8},
}
_SEEDS = {"clean": 2407, "confounded": 1142}
_FAINT = 0.3
#: Finer and oblique, to be the DICOM series as well.
_DICOM_PROTOCOL = Protocol(
    spacing=(1.9, 1.9, 4.0),
    tilt=(-11.0, 4.0, 0.0),
    axes="LPS",
    dtype="int16",
    gain=2.0,
    noise=2.0,
    bias=0.12,
    origin=(3.0, 11.0, -24.0),
)


@dataclass(frozen=True)
class PhantomCase:
    """One head to be made: its name, split ("training", "validation", "test") and class index."""

    version: str
    id: str
    index: int
    split: str
    label: int
    dicom: bool = False


def plan(version: str) -> tuple[PhantomCase, ...]:
    """The cases of a cohort, in the order of their names, which tell nothing of the class."""
    wanted = [
        (split, label)
        for split, count in _PER_CLASS[version].items()
        for label in range(len(CLASS_NAMES))
        for _ in range(count)
    ]
    order = np.random.default_rng(_SEEDS[version]).permutation(len(wanted))
    cases = [PhantomCase(version, f"head_{i + 1:03d}", i, *wanted[k]) for i, k in enumerate(order)]
    if version == "clean":
        chosen = next(c for c in cases if c.split == "test" and c.label == 1)
        cases[chosen.index] = replace(chosen, dicom=True)
    return tuple(cases)


def make_case(case: PhantomCase, *, marker: bool = True) -> Scan:
    """Scan one case; the same case gives the same scan.

    ``marker=False`` leaves the marker of the confounded version away and changes nothing else.
    """
    return make_twins(case, (case.label,), marker=marker)[0]


def make_twins(
    case: PhantomCase, labels: tuple[int, ...] = (0, 1, 2), *, marker: bool = True
) -> list[Scan]:
    """The head of one case as it would be scanned as a case of each of the classes ``labels``."""
    seeds = np.random.SeedSequence([_SEEDS[case.version], case.index]).spawn(4)
    head = Head(draw_subject(np.random.default_rng(seeds[0])))
    drawn = draw_protocol(np.random.default_rng(seeds[1]))
    placed = PlacedHead(head, _DICOM_PROTOCOL if case.dicom else drawn)
    confounded = case.version == "confounded"
    strength = _FAINT if confounded else 1.0
    return [
        placed.scan(
            draw_lesion(np.random.default_rng(seeds[2]), head, label, strength=strength),
            np.random.default_rng(seeds[3]),
            MARKERS[label] if confounded and marker else None,
        )
        for label in labels
    ]


def write_cohort(
    version: str, out: Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write images, lesion masks and ``dataset_<version>.json`` into ``out``; returns the datalist.

    progress is called with (cases done, cases in all).
    """
    cases = plan(version)
    lists: dict[str, list[dict[str, object]]] = {"training": [], "validation": [], "test": []}
    for done, case in enumerate(cases):
        image, mask = f"{version}/{case.id}.nii.gz", f"{version}/{case.id}_lesion.nii.gz"
        made = make_case(case)
        write_nifti(made.array, made.affine, out / image)
        write_nifti(made.mask, made.affine, out / mask)
        entry: dict[str, object] = {"image": image, "label": case.label, "mask": mask}
        if case.dicom:
            write_dicom_series(made.array, made.affine, out / DICOM_FOLDER, "T1 phantom oblique")
            entry["dicom"] = DICOM_FOLDER
        lists[case.split].append(entry)
        if progress is not None:
            progress(done + 1, len(cases))
    datalist = {
        "name": f"napari-ifa phantom heads, {version}",
        "description": __doc__.split("\n\n")[1].replace("\n", " ").strip() if __doc__ else "",
        "modality": {"0": "MR"},
        "labels": {str(i): name for i, name in enumerate(CLASS_NAMES)},
        "licence": "CC0-1.0",
        **lists,
    }
    path = out / f"dataset_{version}.json"
    path.write_text(json.dumps(datalist, indent=1) + "\n", encoding="utf-8")
    return path


def write_nifti(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a compressed NIfTI, byte for byte the same for the same content."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="", compresslevel=9) as file:
        file.write(image.to_bytes())
    path.write_bytes(packed.getvalue())
