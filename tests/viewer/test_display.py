"""A window that cannot be had is one sentence, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa import samples
from napari_ifa.cli import main
from napari_ifa.viewer.display import check_display

NAMES = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("display", [None, ":987"])
def test_without_a_display_view_says_so(
    display: str | None,
    no_display: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """None is named, or one that does not answer, at which Qt ends the process."""
    if display is not None:
        no_display.setenv("DISPLAY", display)
    no_display.chdir(tmp_path)

    assert main(["view", str(samples.dicom_series())]) == 2
    assert main(["demo", "--view", "--out", str(tmp_path / "demo")]) == 2

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("has no display that Qt can use") == said.err.count("\n") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_display_that_qt_can_use_is_taken(no_display: pytest.MonkeyPatch) -> None:
    no_display.setenv("QT_QPA_PLATFORM", "offscreen")
    check_display()


def test_without_qt_the_way_to_get_it_is_said(
    no_display: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "qtpy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "QtWidgets.py").write_text(
        "class QtBindingsNotFoundError(ImportError): pass\nraise QtBindingsNotFoundError()\n"
    )
    no_display.setenv("QT_QPA_PLATFORM", "offscreen")
    no_display.setenv("PYTHONPATH", str(tmp_path))

    assert main(["view"]) == 2
    assert "no Qt is installed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--analysis", "nowhere.nc"], "no such file"),
        (["--bundle", "nowhere"], "not a folder"),
        (["--bundle", str(samples.bundle("clean")), "--device", "cuda:77"], "cannot be used here"),
        (["--layer", "features"], "give its bundle"),
        (["--trust"], "give its bundle"),
    ],
)
def test_what_view_is_given_is_looked_for_before_the_window(
    words: list[str],
    reason: str,
    no_display: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["view", *words]) == 2
    assert reason in capfd.readouterr().err


def test_view_hands_on_layer_device_and_trust(no_display: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    no_display.setattr("napari_ifa.viewer.display.check_display", lambda: None)
    no_display.setattr(
        "napari_ifa.viewer.contributions.open_viewer", lambda **how: given.update(how)
    )
    bundle = samples.bundle("clean")

    main(["view", "--bundle", str(bundle), "--layer", "x", "--device", "cpu", "--trust"])

    assert (given["layer"], given["device"], given["trust"]) == ("x", "cpu", True)
