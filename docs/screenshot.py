"""Make docs/images/viewer.png: the real napari on a sample study, at its strongest slice.

Needs a display; on a machine without one::

    xvfb-run -s "-screen 0 1920x1080x24 +extension GLX" python docs/screenshot.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

IMAGE = Path(__file__).parent / "images" / "viewer.png"
SIZE = (1920, 1080)
#: Seconds after which something must have gone wrong.
_PATIENCE = 300


def wait_until(condition: Callable[[], bool]) -> None:
    """Let the window work until the condition holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("The viewer did not get ready; see the messages in its panels.")
        QApplication.processEvents()
        time.sleep(0.01)


def main(target: Path = IMAGE) -> int:
    """Open the sample study, model and analysis, act, and write the picture."""
    from napari_ifa import samples
    from napari_ifa.viewer.contributions import open_viewer, sample_path
    from napari_ifa.viewer.workspace import workspace_of

    viewer = open_viewer(
        study=sample_path("clean", "bright lesion"), bundle=samples.bundle("clean")
    )
    window = viewer.window._qt_window
    window.setGeometry(0, 0, *SIZE)
    workspace = workspace_of(viewer)
    session, jobs = workspace.session, workspace.jobs
    session.said.connect(lambda kind, sentence, about: print(sentence))
    wait_until(lambda: session.explanation is not None and not jobs.busy)
    session.run_analysis(samples.cohort("clean"), "training", "gradcam")
    wait_until(lambda: session.analysis is not None and not jobs.busy)
    # The slice where the evidence for the class is strongest.
    strongest = session.explanation.class_activation.array
    slices = [float(values[values > 0].sum()) for values in strongest]
    viewer.dims.set_current_step(0, slices.index(max(slices)))
    settled = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > settled)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not window.grab().save(str(target)):
        raise SystemExit(f"{target} could not be written.")
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
