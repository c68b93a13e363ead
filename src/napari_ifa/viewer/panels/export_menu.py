"""The Export button: the explanation as it is chosen and shown now, as NIfTI or DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_ifa.viewer.panels.panel import listen
from napari_ifa.viewer.panels.widgets import is_confirmed
from napari_ifa.viewer.state.exporting import FORMATS, ExportFormat, Shown, suggested_name

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation
    from napari_ifa.viewer.workspace import Workspace


class ExportButton(QPushButton):
    """A button with one entry for each format; off while there is nothing to export."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("Export…")
        self._session, self._scene = workspace.session, workspace.scene
        self.setToolTip("Write the map of this class, of the chosen features, on this scale")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for format_ in FORMATS:
            action = menu.addAction(f"{format_.title}…")
            action.setToolTip(format_.tip)
            action.triggered.connect(lambda _=False, chosen=format_: self._ask(chosen))
        self.setMenu(menu)
        listen(self._session.explanation_changed, self._allow)
        self._allow(self._session.explanation)

    def _allow(self, explanation: Explanation | None) -> None:
        self.setEnabled(explanation is not None)

    def _ask(self, format_: ExportFormat) -> None:
        explanation = self._session.explanation
        if explanation is None:
            return
        # What is named on the screen now is written, whatever happens until a file is chosen.
        shown = Shown(self._scene.window, self._scene.opacity)
        name = suggested_name(explanation, format_)
        if format_.suffix:
            filter_ = f"{format_.title} (*{format_.suffix})"
            answer, _ = QFileDialog.getSaveFileName(self, f"Export: {format_.title}", name, filter_)
            path = Path(answer)
        else:
            answer = QFileDialog.getExistingDirectory(
                self, f"Export: a new folder {name} is made in the chosen one"
            )
            # Of its own, so that the pictures do not mix with a study.
            path = Path(answer) / name
        if answer and (format_.suffix or self._may_replace(path)):
            self._session.export(format_, path, shown, explanation)

    def _may_replace(self, folder: Path) -> bool:
        """Asks where a folder is there already, as the dialog does by itself for a file."""
        if not folder.exists():
            return True
        question = f"A folder {folder.name} is there already. Replace the pictures in it?"
        return is_confirmed(self, "Replace the folder?", question)
