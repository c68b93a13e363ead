"""Which cohort to analyse: the datalist, its part, and the method."""

from __future__ import annotations

import json
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

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
    chosen(str, object, str) : datalist file, split (or None for all), method.
    """

    chosen = Signal(str, object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Analyse a cohort")
        self.setMinimumWidth(480)
        self.file = QLineEdit()
        self.file.setPlaceholderText("a MONAI datalist (JSON)")
        self.file.textChanged.connect(self._offer_splits)
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._browse)
        self.split = QComboBox()
        self.split.setToolTip("Usually the cases that the model was trained with")
        self.method = QComboBox()
        for key, text in METHODS.items():
            self.method.addItem(text, key)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.run = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.run.setText("Run")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.file, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.addRow("Cohort", row)
        form.addRow("Cases", self.split)
        form.addRow("Method", self.method)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.problem)
        layout.addWidget(self.buttons)
        self._offer_splits("")

    def accept(self) -> None:
        """Tell what was chosen and close."""
        self.chosen.emit(self.file.text(), self.split.currentData(), self.method.currentData())
        super().accept()
        self.deleteLater()

    def reject(self) -> None:
        """Close."""
        super().reject()
        self.deleteLater()

    def _browse(self) -> None:
        file, _ = QFileDialog.getOpenFileName(
            self, "Choose a cohort", "", "MONAI datalist (*.json);;All files (*)"
        )
        if file:
            self.file.setText(file)

    def _offer_splits(self, text: str) -> None:
        splits, problem = _splits_of(Path(text)) if text else ({}, "")
        self.split.clear()
        for name, count in splits.items():
            self.split.addItem(f"{name} ({count} cases)", name)
        if len(splits) > 1:
            self.split.addItem(f"all ({sum(splits.values())} cases)", None)
        self.problem.setText(problem)
        self.run.setEnabled(bool(splits))


def _splits_of(file: Path) -> tuple[dict[str, int], str]:
    """Names and sizes of a datalist's parts, or why there are none."""
    if not file.is_file():
        return {}, "There is no such file."
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}, "This file is not a MONAI datalist (JSON)."
    lists = content.items() if isinstance(content, dict) else ()
    splits = {
        name: len(cases)
        for name, cases in lists
        if isinstance(cases, list) and cases and all(isinstance(case, dict) for case in cases)
    }
    return splits, "" if splits else "This file lists no cases."
