"""The data of the tables: training and test cohorts, read where they lie.

Nothing is copied. A set that comes in one piece is divided by a seed, class by class; files of the
same content, and nodules of the same patient, stay on one side.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.cohorts import Case, Cohort

SEED = 2407
TEST_SHARE = 0.3

Relation = Literal["same data", "same kind", "not available here"]

_TRAINING_FOLDERS = ("train", "training")
_TEST_FOLDERS = ("test", "val", "validation")
#: Ratings of malignancy from 1 to 5; 3 is "indeterminate" and left out.
_BENIGN, _MALIGNANT = 2.0, 4.0


@dataclass(frozen=True)
class Dataset:
    """Cases to train on and others to test on.

    Attributes
    ----------
    name : key of its networks, and of its bundle's folder.
    paper_set : the data set of the paper that its rows stand beside, a key of ``PAPER_SETS``.
    relation : whether it is that data set, or another of its kind.
    classes : names in the order of the network's outputs; a case's label is one of them or its
        number.
    source : where the data come from and how they were divided, in words.
    """

    name: str
    paper_set: str
    relation: Relation
    classes: tuple[str, ...]
    training: Cohort
    test: Cohort
    source: str

    def fewer(self, cases: int) -> Dataset:
        """At most ``cases`` of each split, every class among them."""
        return replace(self, training=_fewer(self.training, cases), test=_fewer(self.test, cases))

    def fingerprint(self) -> str:
        """SHA-256 of both splits: their files, numbers of items in a file, and labels."""
        digest = hashlib.sha256()
        files: dict[Path, str] = {}
        for cohort in (self.training, self.test):
            for case in sorted(cohort.cases, key=lambda case: case.id):
                if case.path not in files:
                    files[case.path] = hashlib.sha256(case.path.read_bytes()).hexdigest()
                row = [cohort.split, files[case.path], case.item, str(case.label)]
                digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def digits(data: Path, work: Path) -> Dataset:
    """The 10,000 test digits of MNIST, an idx pair, 8 : 2."""
    cohort = ifa.read_cohort(data / "mnist")
    training, test = divided(cohort, test_share=0.2, together=lambda case: case.id)
    source = "the 10,000 test digits of MNIST, divided 8 : 2"
    classes = tuple("0123456789")
    return Dataset("digits", "MNIST", "same data", classes, training, test, source)


def chest_xray(data: Path, work: Path) -> Dataset:
    """Children's chest X-rays (Kermany et al.) in the division they came with."""
    folder = data / "chest_xray"
    training = ifa.read_cohort(folder, split="train")
    test = ifa.read_cohort(folder, split="test")
    classes = _classes(training)
    source = "chest X-rays of Kermany et al., training and test as they came"
    return Dataset("chest_xray", "RSNA", "same kind", classes, training, test, source)


def breast_ultrasound(data: Path, work: Path) -> Dataset:
    """Breast ultrasound (BUSI): benign, malignant, normal."""
    cohort = ifa.read_cohort(data / "breast_ultrasound")
    training, test = divided(cohort, together=_content)
    source = "BUSI at 128², three classes, divided 7 : 3"
    classes = _classes(cohort)
    return Dataset("breast_ultrasound", "BUSI", "same data", classes, training, test, source)


def lidc_nodules(data: Path, work: Path) -> Dataset:
    """CT cubes around lung nodules: malignancy rated 1 or 2 is benign, 4 or 5 malignant."""
    folder = data / "lidc_nodules"
    entries = []
    with (folder / "ratings.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rating = float(row["malignancy"])
            if _BENIGN < rating < _MALIGNANT:
                continue
            name = f"{row['Filename']}.nii.gz"
            label = "benign" if rating <= _BENIGN else "malignant"
            entries.append({"image": f"images/{name}", "label": label, "mask": f"masks/{name}"})
    datalist = work / "lidc_nodules.json"
    datalist.write_text(json.dumps({"name": "lidc_nodules", "all": entries}), encoding="utf-8")
    cohort = ifa.read_cohort(datalist, root=folder)
    training, test = divided(cohort, test_share=0.4, together=_patient)
    source = (
        "LIDC-IDRI, cubes of 51³, malignancy rated 1–2 against 4–5 (3 left out), divided 6 : 4 by"
        " patient"
    )
    classes = ("benign", "malignant")
    return Dataset("lidc_nodules", "LUNA16", "same kind", classes, training, test, source)


def sample_heads(data: Path, work: Path) -> Dataset:
    """The synthetic MR heads that the product brings, with their own trained bundle."""
    training = ifa.read_cohort(samples.cohort("clean"), split="training")
    test = ifa.read_cohort(samples.cohort("clean"), split="test")
    classes = tuple(ifa.load_classifier(samples.bundle("clean"), device="cpu").class_names)
    source = "the product's synthetic MR heads, in the division of their datalist"
    return Dataset("sample_heads", "ESMIRA", "same kind", classes, training, test, source)


SETS: dict[str, Callable[[Path, Path], Dataset]] = {
    "digits": digits,
    "chest_xray": chest_xray,
    "breast_ultrasound": breast_ultrasound,
    "lidc_nodules": lidc_nodules,
    "sample_heads": sample_heads,
}


def from_folder(paper_set: str, folder: Path) -> Dataset:
    """A data set that the user names: a folder per class, with or without a folder per split above.

    Raises
    ------
    CohortError
        Where the folder does not hold pictures by class.
    """
    names = {child.name.lower(): child.name for child in folder.iterdir() if child.is_dir()}
    first = next((names[name] for name in _TRAINING_FOLDERS if name in names), None)
    second = next((names[name] for name in _TEST_FOLDERS if name in names), None)
    if first and second:
        training = ifa.read_cohort(folder, split=first)
        test = ifa.read_cohort(folder, split=second)
        source = f"a folder named by the user, splits '{first}' and '{second}'"
    else:
        training, test = divided(ifa.read_cohort(folder), together=_content)
        source = "a folder named by the user, divided 7 : 3"
    return Dataset(
        paper_set, paper_set, "same data", _classes(training, test), training, test, source
    )


def divided(
    cohort: Cohort,
    *,
    test_share: float = TEST_SHARE,
    together: Callable[[Case], str],
    seed: int = SEED,
) -> tuple[Cohort, Cohort]:
    """Two cohorts of the cases, each class in the same proportion.

    Parameters
    ----------
    together : what cases must share to stay on one side. A group counts for the class of its first
        case.
    """
    groups: dict[str, list[Case]] = {}
    for case in cohort.cases:
        groups.setdefault(together(case), []).append(case)
    by_class: dict[str, list[list[Case]]] = {}
    for group in groups.values():
        by_class.setdefault(str(group[0].label), []).append(group)
    sides: tuple[list[Case], list[Case]] = ([], [])
    for number, label in enumerate(sorted(by_class)):
        of_class = by_class[label]
        order = np.random.default_rng([seed, number]).permutation(len(of_class))
        tests = max(1, round(test_share * len(of_class)))
        for position, index in enumerate(order):
            sides[position < tests].extend(of_class[index])
    training, test = (tuple(sorted(side, key=lambda case: case.id)) for side in sides)
    return (
        replace(cohort, cases=training, split="training"),
        replace(cohort, cases=test, split="test"),
    )


def _fewer(cohort: Cohort, cases: int) -> Cohort:
    """The first cases of each class in turn."""
    by_class: dict[str, list[Case]] = {}
    for case in cohort.cases:
        by_class.setdefault(str(case.label), []).append(case)
    share = max(1, cases // len(by_class))
    kept = [case for label in sorted(by_class) for case in by_class[label][:share]]
    return replace(cohort, cases=tuple(kept))


def _classes(*cohorts: Cohort) -> tuple[str, ...]:
    return tuple(sorted({str(case.label) for cohort in cohorts for case in cohort.cases}))


def _content(case: Case) -> str:
    return hashlib.sha256(case.path.read_bytes()).hexdigest()


def _patient(case: Case) -> str:
    """The patient's number, with which the file's name begins."""
    return case.path.name.partition("_")[0]


def labels(cases: Sequence[Case], classes: Sequence[str]) -> list[int]:
    """Class numbers of the cases' labels, names or numbers."""
    return [
        classes.index(case.label) if isinstance(case.label, str) else int(case.label or 0)
        for case in cases
    ]
