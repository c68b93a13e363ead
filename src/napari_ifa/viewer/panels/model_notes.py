"""What there is to say about a model's answers, and how its outputs become probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_ifa.viewer.panels.widgets import choice, fill, line

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation
    from napari_ifa.models import Classifier

#: What a person may say of a model whose bundle does not say it, and what the library calls it.
_CHOICES = (
    ("not known: no probabilities", None),
    ("one of the classes (softmax)", "softmax"),
    ("each class on its own (sigmoid)", "sigmoid"),
    ("values, not classes (regression)", "none"),
)


class ModelNotes(QWidget):
    """The notes of a model and of the case on show; a choice where outputs have no meaning yet."""

    activation_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.text = line(selectable=True)
        self.activation = choice(
            "How the model's outputs become probabilities, which its bundle does not say; choose"
            " only what you know of it",
            *_CHOICES,
        )
        self.activation.activated.connect(self._choose)
        self.choice = QWidget()
        title = QLabel("outputs are")
        fill(QHBoxLayout(self.choice), title, self.activation, wide=self.activation)
        fill(QVBoxLayout(self), self.choice, self.text)
        self.show_about(None, None)

    def show_about(self, classifier: Classifier | None, explanation: Explanation | None) -> None:
        """Of a model, and of the case it was run on; None where there is none."""
        notes = explanation.notes if explanation is not None else ()
        if explanation is None and classifier is not None:
            notes = classifier.notes
        told = None
        if classifier is not None and classifier.source is not None:
            told = classifier.source.output_activation
        unknown = classifier is not None and classifier.output_activation == "unknown"
        self.choice.setVisible(unknown or told is not None)
        with QSignalBlocker(self.activation):
            self.activation.setCurrentIndex(self.activation.findData(told))
        self.text.setText("\n".join(notes))
        self.text.setVisible(bool(notes))
        self.setVisible(bool(notes) or unknown or told is not None)

    def _choose(self, index: int) -> None:
        self.activation_chosen.emit(self.activation.itemData(index))
