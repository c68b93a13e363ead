"""What all tests share: the real studies, napari without a settings file, no silent skips in CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.image_files import (
    dicom_slice,
    mr_sagittal_oblique,
    save_dicom,
    save_nifti,
    save_series,
)

__all__ = ["dicom_slice", "mr_sagittal_oblique", "save_dicom", "save_nifti", "save_series"]

# An empty name: napari neither reads nor writes settings of the person who runs the tests.
os.environ["NAPARI_CONFIG"] = ""

CHECKOUT = Path(__file__).resolve().parents[1]
NO_SHARED_DATA = "no real studies: set NAPARI_IFA_SHARED_DATA to their folder"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is tried of what chance makes up."""
    group = parser.getgroup("chance")
    group.addoption("--hostile-runs", type=int, default=24, help="hostile command lines to try")
    group.addoption("--hostile-seed", type=int, default=0, help="to make them from")
    group.addoption(
        "--crash-runs", type=int, default=1, help="how often each command is killed in tests/crash"
    )


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The cache folder of the person who runs the tests is left alone."""
    os.environ["NAPARI_IFA_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real studies: ``NAPARI_IFA_SHARED_DATA``, or shared/data beside the checkout."""
    named = os.environ.get("NAPARI_IFA_SHARED_DATA")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(NO_SHARED_DATA)
    return folder


@pytest.fixture(scope="session")
def shared_cases(shared_data: Path) -> Path:
    """Folder of inputs that once went wrong, beside that of the real studies."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(NO_SHARED_DATA)
    return folder


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """A test draws the same numbers whichever tests ran before it in its process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped for anything but absent real studies fails."""
    report = yield
    reason: Any = report.longrepr
    if os.environ.get("CI") and report.skipped and NO_SHARED_DATA not in str(reason):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {reason}"
    return report
