"""Whether a window can be opened here, found out before anything is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import Enum

from napari_ifa.errors import IfaError

#: Qt ends the whole process where it finds no display, so another one tries.
_TRIAL = "from qtpy.QtWidgets import QApplication; QApplication([])"
#: Of a trial; a display that does not answer would be waited for without an end.
_SECONDS = 30


class DisplayProblem(Enum):
    """Why no window can be opened."""

    NO_DISPLAY = (
        "napari's window cannot be opened, for this session has no display that Qt can use; start"
        " it on the desktop, or connect with one (ssh -X, a remote desktop)."
    )
    NO_QT = "napari's window cannot be opened, for no Qt is installed; install 'napari-ifa[all]'."


def check_display() -> None:
    """Refuse to open a window where there is none to be had.

    Raises
    ------
    IfaError
        Without a display, or without Qt.
    """
    if not sys.platform.startswith("linux"):
        return
    own = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if not any(os.environ.get(name) for name in own):
        raise IfaError(DisplayProblem.NO_DISPLAY)
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise IfaError(DisplayProblem.NO_DISPLAY) from error
    if b"QtBindingsNotFoundError" in trial.stderr or b"ModuleNotFoundError" in trial.stderr:
        raise IfaError(DisplayProblem.NO_QT)
    if trial.returncode:
        raise IfaError(DisplayProblem.NO_DISPLAY)
