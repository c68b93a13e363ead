"""The model, its cohort's analysis, the class, what the model answers, and the overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from napari_ifa.viewer.panels.analysis_dialog import AnalysisDialog
from napari_ifa.viewer.panels.export_menu import ExportButton
from napari_ifa.viewer.panels.fit_badge import FitBadge
from napari_ifa.viewer.panels.legend import Legend
from napari_ifa.viewer.panels.map_choices import MapChoices
from napari_ifa.viewer.panels.model_notes import ModelNotes
from napari_ifa.viewer.panels.panel import JobBars, MessageLine, Panel
from napari_ifa.viewer.panels.prediction_table import PredictionTable
from napari_ifa.viewer.panels.widgets import (
    badge,
    button,
    choice,
    fill,
    heading,
    is_confirmed,
    line,
    name_line,
    percent_slider,
    plain,
)
from napari_ifa.viewer.scene.corner_note import BADGE_COLOURS, NOT_ON_SCALE
from napari_ifa.viewer.state.cohort_analyses import analysis_name

if TYPE_CHECKING:
    import napari

    from napari_ifa.analysis import Analysis, Explanation
    from napari_ifa.models import Classifier

_ANALYSIS_FILTER = "Analysis (*.nc);;All files (*)"
NO_SCALE = "no common scale: this picture cannot be compared between patients"


class ExplainPanel(Panel):
    """Everything about one explanation but the single features."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._build()
        self._lay_out()
        self.listen(self.session.classifier_changed, self._show_classifier)
        self.listen(self.session.analysis_changed, self._show_analysis)
        self.listen(self.session.analyses.unsaved_changed, self._offer_saving)
        self.listen(self.session.explanation_changed, self._show_explanation)
        self.listen(self.session.prediction_changed, self.predictions.show_prediction)
        self.listen(self.session.models.trust_wanted, self._ask_trust)
        self.listen(self.session.missing_wanted, self._ask_about_missing)
        self.listen(self.session.volume_changed, self._show_hint)
        self.listen(self.workspace.scene.map.opacity_changed, self._show_opacity)
        self.listen(self.workspace.scene.map.changed, self._show_map_state)
        self._show_opacity(self.workspace.scene.opacity)
        self._show_classifier(self.session.classifier)
        self._show_analysis(self.session.analysis)
        self._show_explanation(self.session.explanation)
        self.predictions.show_prediction(self.session.prediction)

    # ----------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.model_name, self.analysis_name, self.other_name = (name_line() for _ in range(3))
        self.open_model = button(
            "Open…", "The folder of a MONAI bundle; none of its code is run", self._ask_bundle
        )
        self.open_analysis = button(
            "Open…", "An analysis file (.nc) of a cohort, made with this model", self._ask_analysis
        )
        self.run_analysis = button("Run…", "Analyse a cohort with the open model", self._ask_cohort)
        self.save_analysis = button(
            "Save…",
            "Keep this analysis in a file, for other cases",
            lambda: self._save(self.session.analysis),
        )
        self.save_other = button(
            "Save…",
            "Keep the analysis that was run before this one in a file",
            lambda: self._save(self.session.pending),
        )
        self.unsaved, self.other_unsaved = QWidget(), QWidget()
        self.class_choice = choice("The class whose evidence is shown")
        self.class_choice.activated.connect(self.session.select_class)
        self.map_choices = MapChoices(self.session)
        self.predictions = PredictionTable()
        self.notes = ModelNotes()
        self.notes.activation_chosen.connect(self.session.choose_activation)
        self.fit = FitBadge()
        self.no_scale = badge(NO_SCALE, BADGE_COLOURS["resampled"])
        self.no_scale.setToolTip(
            "Open the analysis of a cohort, or run one, to get a scale that holds for all patients."
        )
        self.opacity, self.opacity_text = percent_slider(
            0, "How strongly the overlay covers the image", self._set_opacity
        )
        self.legend = Legend()
        self.off_scale = badge(NOT_ON_SCALE, BADGE_COLOURS["wrong"])
        self.show_map = button(
            "Show the map again",
            "The map's layer has been removed from the list of layers",
            self.workspace.scene.show_map,
        )
        self.hint = line()
        self.explain_anyway = button(
            "Explain anyway…",
            "Run the model although slices are missing in this study",
            self.session.ask_about_missing,
        )
        self.export = ExportButton(self.workspace)
        self.jobs = JobBars(self.workspace.jobs, ("main", "analysis", "export"))
        self.message = MessageLine(self.session, "model")

    def _lay_out(self) -> None:
        sources = QGridLayout()
        sources.setColumnStretch(1, 1)
        sources.addWidget(heading("Model"), 0, 0)
        sources.addWidget(self.model_name, 0, 1)
        sources.addWidget(self.open_model, 0, 2)
        sources.addWidget(heading("Analysis"), 1, 0)
        sources.addWidget(self.analysis_name, 1, 1)
        sources.addWidget(self.open_analysis, 1, 2)
        sources.addWidget(self.run_analysis, 1, 3)
        not_saved = QLabel("not saved yet")
        fill(QHBoxLayout(self.unsaved), not_saved, self.save_analysis, wide=not_saved)
        fill(
            QHBoxLayout(self.other_unsaved), self.other_name, self.save_other, wide=self.other_name
        )
        sources.addWidget(self.unsaved, 2, 1, 1, 3)
        sources.addWidget(self.other_unsaved, 3, 1, 1, 3)
        shown = QGridLayout()
        shown.setColumnStretch(1, 1)
        shown.addWidget(heading("Class"), 0, 0)
        shown.addWidget(self.class_choice, 0, 1, 1, 2)
        row = self.map_choices.lay_out(shown, 1)
        shown.addWidget(QLabel("opacity"), row, 0)
        shown.addWidget(self.opacity, row, 1)
        shown.addWidget(self.opacity_text, row, 2)
        case = (self.jobs, self.message, self.hint, self.explain_anyway, self.fit, self.notes)
        picture = (self.show_map, self.no_scale, self.off_scale, self.legend)
        layout = fill(
            QVBoxLayout(self), sources, *case, shown, *picture, self.predictions, margin=6
        )
        layout.addWidget(self.export, 0, Qt.AlignmentFlag.AlignRight)
        layout.addStretch(1)

    def event(self, event: QEvent) -> bool:
        """Keep the panel as high as its text, which Qt's docks do not when its lines break."""
        handled = super().event(event)
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            layout = self.layout()
            if layout is not None:
                self.setMinimumHeight(max(0, layout.minimumHeightForWidth(self.width())))
        return handled

    # ----------------------------------------------------------------- asking

    def _ask_bundle(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a MONAI bundle")
        if folder:
            self.session.models.load(folder)

    def _ask_trust(self, folder: Path, sentence: str) -> None:
        question = f"{sentence}\n\nOpen it all the same only if you trust where it comes from."
        open_ = QMessageBox.StandardButton.Open
        if is_confirmed(self, "Run code of this model?", question, open_, warning=True):
            self.session.models.trust()

    def _ask_about_missing(self, sentence: str) -> None:
        asked_about = self.session.volume
        question = f"{sentence}\n\nWhat it answers may be wrong. Explain it all the same?"
        agreed = is_confirmed(self, "Explain this study?", question, warning=True)
        if self.session.volume is asked_about:
            self.session.answer_missing(agreed)
        self._show_hint()

    def _ask_analysis(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Open an analysis", "", _ANALYSIS_FILTER)
        if file:
            self.session.analyses.load(file)

    def _ask_cohort(self) -> None:
        dialog = AnalysisDialog(self)
        dialog.chosen.connect(self.session.run_analysis)
        dialog.open()

    def _save(self, analysis: Analysis | None) -> None:
        """Write the analysis that was named when the button was clicked."""
        if analysis is None:
            return
        file, _ = QFileDialog.getSaveFileName(
            self, f"Save the analysis: {analysis_name(analysis)}", "analysis.nc", _ANALYSIS_FILTER
        )
        if file:
            self.session.save_analysis(file, analysis)

    def _set_opacity(self, percent: int) -> None:
        self.workspace.scene.opacity = percent / 100

    # ----------------------------------------------------------------- showing

    def _show_classifier(self, classifier: Classifier | None) -> None:
        self.run_analysis.setEnabled(classifier is not None)
        if classifier is None:
            _set_name(self.model_name, "none open", "")
        else:
            _set_name(
                self.model_name,
                classifier.name,
                f"Classes: {', '.join(classifier.class_names)}\n"
                f"Features of the layer: {classifier.target_layer}",
            )
        self.notes.show_about(classifier, self.session.explanation)
        self._show_hint()

    def _show_analysis(self, analysis: Analysis | None) -> None:
        self._offer_saving()
        if analysis is None:
            _set_name(self.analysis_name, "none open", "")
            return
        count = int(analysis.dataset.sizes["case"])
        facts = [f"{count} cases, {analysis.features} features, method {analysis.method}"]
        facts += [f"{len(analysis.skipped)} cases skipped"] if analysis.skipped else []
        tip = "\n".join([*facts, *analysis.notes])
        _set_name(self.analysis_name, analysis_name(analysis), tip)

    def _offer_saving(self) -> None:
        """A button for the open analysis, and one that names what was run before it."""
        self.unsaved.setVisible(not self.session.analysis_is_saved)
        other = self.session.pending
        self.other_unsaved.setVisible(other is not None)
        if other is not None:
            _set_name(self.other_name, f"also not saved: {analysis_name(other)}", "")

    def _show_explanation(self, explanation: Explanation | None) -> None:
        shown = explanation is not None
        self.class_choice.setEnabled(shown)
        self.opacity.setEnabled(shown)
        self.map_choices.show_explanation(explanation)
        self.predictions.setVisible(shown)
        self.export.setVisible(shown)
        self.legend.setVisible(shown)
        self.legend.show_explanation(explanation)
        self.fit.show_fit(self.session.fit)
        self._show_map_state()
        self.notes.show_about(self.session.classifier, explanation)
        self.no_scale.setVisible(explanation is not None and explanation.scale is None)
        self._show_hint()
        with QSignalBlocker(self.class_choice):
            self.class_choice.clear()
            if explanation is None:
                return
            predicted = int(explanation.logits.argmax())
            for idx, name in enumerate(explanation.class_names):
                p = explanation.probabilities
                text = name if p is None else f"{name}  p = {p[idx]:.2f}"
                self.class_choice.addItem(text + (", predicted" if idx == predicted else ""))
            self.class_choice.setCurrentIndex(explanation.class_idx)
        self.predictions.show_classes(explanation.class_names, explanation.class_idx)
        self.predictions.show_prediction(self.session.prediction)

    def _show_opacity(self, opacity: float) -> None:
        """Of the map, whether it was set here or in napari's layer controls."""
        percent = round(100 * opacity)
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(percent)
        self.opacity_text.setText(f"{percent} %")
        self.legend.show_opacity(opacity)

    def _show_map_state(self) -> None:
        """What has become of the map's layer."""
        shown, scene = self.session.explanation is not None, self.workspace.scene
        self.show_map.setVisible(shown and scene.map.lost)
        self.off_scale.setVisible(shown and not scene.map.on_scale)
        self.legend.show_reliable(scene.map.on_scale)

    def _show_hint(self, _: object = None) -> None:
        self.explain_anyway.setVisible(self.session.waits_for_consent)
        missing = []
        if self.session.volume is None:
            missing.append("a study")
        if self.session.classifier is None:
            missing.append("a model")
        self.hint.setVisible(bool(missing))
        self.hint.setText(f"Open {' and '.join(missing)} to see an explanation.")


def _set_name(label: QLabel, text: str, tip: str) -> None:
    label.setText(text)
    label.setToolTip(plain(f"{text}\n{tip}".strip() if tip else text))
