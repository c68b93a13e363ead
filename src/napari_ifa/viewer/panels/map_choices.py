"""What the class is compared with and how the common scale is made, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel

from napari_ifa.viewer.panels.widgets import choice

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation
    from napari_ifa.analysis.scale import Basis, Form
    from napari_ifa.models.targets import Target
    from napari_ifa.viewer.state.session import Session

_WHY_COMPARED = (
    "What blue speaks for. Behind a softmax the score of one class alone does not tell for from"
    " against; its distance from the scores of other classes does."
)
_HOW_CLASSES = (
    "A single class can be chosen where the cohort was analysed for it; the page on the analysis"
    " says how."
)
_TARGETS = {
    "logit": "nothing: its score alone",
    "others": "all others",
    "runner-up": "the runner-up",
}
#: Form and basis of the scale, by what they are called.
_SCALES: tuple[tuple[str, tuple[Form, Basis]], ...] = (
    ("automatic", ("centred", "auto")),
    ("from all voxels", ("centred", "voxels")),
    ("from the strongest places", ("centred", "extremes")),
    ("paper: P10 to P90 of all voxels", ("paper", "voxels")),
    ("paper: P50 of minima to P90 of maxima", ("paper", "extremes")),
)
_BASES: dict[str, str] = {basis: words for words, (form, basis) in _SCALES if form == "centred"}


class MapChoices:
    """Two lists and a check box, for the rows of a panel's grid."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.compared = choice(_WHY_COMPARED)
        self.compared.activated.connect(self._compare_with)
        self.scale = choice(
            "What sets the colours, the same for every patient: all voxels of the cohort, or the"
            " strongest places of its cases, which suits evidence that fills little of the image."
            " The paper's puts P10 and P90 at 0.1 and 0.9, so that no contribution lies beside 0.",
            *((words, None) for words, _ in _SCALES),
        )
        self.scale.activated.connect(self._choose_scale)
        self.for_all = QCheckBox("same for all classes")
        self.for_all.setToolTip(
            "One scale for every class, so that their maps compare; else each class has its own"
        )
        self.for_all.clicked.connect(self._choose_scale)

    def lay_out(self, grid: QGridLayout, row: int) -> int:
        """Take three rows of a grid of three columns; the next free one."""
        grid.addWidget(QLabel("compared with"), row, 0)
        grid.addWidget(self.compared, row, 1, 1, 2)
        grid.addWidget(QLabel("scale"), row + 1, 0)
        grid.addWidget(self.scale, row + 1, 1, 1, 2)
        grid.addWidget(self.for_all, row + 2, 1, 1, 2)
        return row + 3

    def show_explanation(self, explanation: Explanation | None) -> None:
        """What was chosen, and what there is to choose."""
        self._show_targets(explanation)
        scale = None if explanation is None else explanation.scale
        for widget in (self.scale, self.for_all):
            widget.setEnabled(scale is not None)
        chosen = self._session.scale_choice
        self.for_all.setChecked(chosen.scope == "all")
        known = [made for _, made in _SCALES]
        asked = (chosen.form, chosen.basis)
        self.scale.setCurrentIndex(known.index(asked) if asked in known else -1)
        found = "" if scale is None or scale.ratio is None else f": {_BASES[scale.basis]}"
        self.scale.setItemText(0, f"{_SCALES[0][0]}{found}")

    def _show_targets(self, explanation: Explanation | None) -> None:
        """Of one entry there is nothing to choose."""
        from napari_ifa.models.targets import target_key

        targets = self._session.targets()
        lacks = self._session.analysis is not None and not any(isinstance(t, int) for t in targets)
        self.compared.setToolTip(f"{_WHY_COMPARED} {_HOW_CLASSES}" if lacks else _WHY_COMPARED)
        self.compared.setEnabled(explanation is not None and len(targets) > 1)
        with QSignalBlocker(self.compared):
            self.compared.clear()
            if explanation is None:
                return
            for target in targets:
                self.compared.addItem(_words_of(target, explanation), target)
            keys = [target_key(target) for target in targets]
            if explanation.target in keys:
                self.compared.setCurrentIndex(keys.index(explanation.target))

    def _compare_with(self, index: int) -> None:
        self._session.compare_with(self.compared.itemData(index))

    def _choose_scale(self) -> None:
        from napari_ifa.analysis.scale import ScaleChoice

        form, basis = _SCALES[self.scale.currentIndex()][1]
        self._session.choose_scale(
            ScaleChoice(form, basis, "all" if self.for_all.isChecked() else "class")
        )


def _words_of(target: Target, explanation: Explanation) -> str:
    if isinstance(target, int):
        return explanation.class_names[target]
    if target == "others" and len(explanation.class_names) == 2:
        return explanation.class_names[1 - explanation.class_idx]
    known = target in explanation.case.activations
    rival = explanation.case.rival(target, explanation.class_idx) if known else None
    words = _TARGETS[target]
    return words if rival is None else f"{words}: {explanation.class_names[rival]}"
