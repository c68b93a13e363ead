"""Where the sample data lie: synthetic heads in two cohorts, and a network trained on each.

``version`` is "clean", where the lesion alone tells the class, or "confounded", where a marker
outside the head gives it away.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

from napari_ifa.errors import CohortError


class SampleProblem(Enum):
    """Why there is no sample."""

    MISSING = "The sample data are missing from this installation; install napari-ifa again."
    NO_SUCH_VERSION = "There is no sample cohort '{asked}'; choose clean or confounded."


VERSIONS = ("clean", "confounded")
PACKAGE = Path(__file__).resolve().parent


def sample_data() -> Path:
    """Folder of the sample data: inside the installed package, or at the top of a checkout.

    CohortError where the installation came without them.
    """
    for folder in (PACKAGE / "sample_data", PACKAGE.parents[1] / "sample_data"):
        if (folder / "bundles").is_dir():
            return folder
    raise CohortError(SampleProblem.MISSING)


def bundle(version: str = "clean") -> Path:
    """The MONAI bundle of the network that was trained on ``version``."""
    return sample_data() / "bundles" / f"head_{_checked(version)}"


def cohort(version: str = "clean") -> Path:
    """The MONAI datalist of ``version``, with "training", "validation" and "test"."""
    return sample_data() / f"dataset_{_checked(version)}.json"


def dicom_series() -> Path:
    """Folder of an oblique DICOM MR series: one case of the clean test split once more."""
    entries = json.loads(cohort("clean").read_text("utf-8"))["test"]
    return sample_data() / next(entry["dicom"] for entry in entries if "dicom" in entry)


def _checked(version: str) -> str:
    if version not in VERSIONS:
        raise CohortError(SampleProblem.NO_SUCH_VERSION, asked=version)
    return version
