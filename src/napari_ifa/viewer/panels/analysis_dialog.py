"""Which cohort to analyse: the list of its cases, their part, and the method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, LineEdit, PushButton
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QVBoxLayout,
    QWidget,
)

from napari_ifa.errors import IfaError
from napari_ifa.viewer.panels.widgets import fill, line
from napari_ifa.viewer.state.jobs import Jobs

_FILE_FILTER = "Lists of cases (*.json *.csv *.tsv *.npz *ubyte *ubyte.gz);;All files (*)"
METHODS = {
    "gradcam": "Grad CAM: one weight for each feature",
    "pixelwise": "pixel-wise Grad CAM: a weight for each place",
    "cam": "CAM: the weights of the last layer",
    "gradcam++": "Grad CAM++: favours places with a strong gradient",
    "xgradcam": "XGrad CAM: gradients weighed with the features",
    "layercam": "Layer CAM: only gradients that speak for the class",
    "scorecam": "Score CAM: no gradients, a pass for each feature (slow)",
    "ss-cam": "SS-CAM: Score CAM with noise (35 times as slow)",
    "is-cam": "IS-CAM: Score CAM in steps (10 times as slow)",
    "smoothgradcam++": "Smooth Grad CAM++: Grad CAM++ over noisy images",
}


class AnalysisDialog(QDialog):
    """Asks for a cohort.

    Signals
    -------
    chosen(str, object, str) : file or folder, split (or None for all), method.
    """

    chosen = Signal(str, object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Analyse a cohort")
        self.setMinimumWidth(480)
        # A folder of many images takes a moment to list.
        self.jobs = Jobs(self)
        self.file = LineEdit()
        self.file.native.setPlaceholderText("a datalist, a table, or a folder for each class")
        self.browse = PushButton(
            text="File…", tooltip="A MONAI datalist (JSON), a CSV table, an idx or npz file"
        )
        self.browse_folder = PushButton(
            text="Folder…", tooltip="A folder with one folder for each class"
        )
        self.split = ComboBox(tooltip="Usually the cases that the model was trained with")
        self.method = ComboBox(choices=[(text, method) for method, text in METHODS.items()])
        place = Container(
            widgets=[self.file, self.browse, self.browse_folder], layout="horizontal", labels=False
        )
        place.margins = (0, 0, 0, 0)
        self.file.changed.connect(self._look)
        self.browse.changed.connect(self._browse)
        self.browse_folder.changed.connect(self._browse_folder)
        self.problem = line()
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.run = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.run.setText("Run")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        # magicgui measures labels in another font than napari's style sheet gives them.
        form = QFormLayout()
        for title, field in (("Cohort", place), ("Cases", self.split), ("Method", self.method)):
            form.addRow(title, field.native)
        fill(QVBoxLayout(self), form, self.problem, self.buttons, margin=9)
        self._look("")

    def accept(self) -> None:
        """Tell what was chosen and close."""
        self.chosen.emit(self.file.value, self.split.value or None, self.method.value)
        super().accept()
        self._leave()

    def reject(self) -> None:
        """Close."""
        super().reject()
        self._leave()

    def _leave(self) -> None:
        self.jobs.close(0)
        self.deleteLater()

    def _browse(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Choose a cohort", "", _FILE_FILTER)
        if file:
            self.file.value = file

    def _browse_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose a cohort's folder")
        if folder:
            self.file.value = folder

    def _look(self, text: str) -> None:
        """See what the list holds, beside the window."""
        self._offer({}, "")

        def work(progress: Any, stop: Any) -> dict[str, int]:
            from napari_ifa.cohorts import cohort_splits

            return cohort_splits(Path(text)) if text else {}

        self.jobs.start("Looking", work, self._offer, self._say, key="look")

    def _say(self, error: IfaError) -> None:
        self._offer({}, str(error))

    def _offer(self, splits: dict[str, int], problem: str = "") -> None:
        # The scale is usually that of the cases that the model was trained with.
        first = sorted(splits, key=lambda name: not name.lower().startswith("train"))
        choices = [(f"{name or 'all'} ({splits[name]} cases)", name) for name in first]
        if len(splits) > 1:
            choices.append((f"all ({sum(splits.values())} cases)", ""))
        self.split.choices = choices
        self.problem.setText(problem)
        self.run.setEnabled(bool(splits))
