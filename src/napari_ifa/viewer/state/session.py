"""What is open in one viewer, and what follows when it changes.

No Qt and no layers here: panels and scene listen to the signals and call the methods.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_ifa.errors import AnalysisError, AnalysisMismatchError, Cancelled, IfaError
from napari_ifa.viewer.state.cohort_analyses import CohortAnalyses
from napari_ifa.viewer.state.exporting import ExportFormat, Shown, what_was_written
from napari_ifa.viewer.state.model_loader import ModelLoader
from napari_ifa.viewer.state.predicting import Prediction, Predictor
from napari_ifa.viewer.state.study_browser import Runner, StudyBrowser
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis, CohortFit, Explanation, FeatureMask
    from napari_ifa.analysis.scale import ScaleChoice
    from napari_ifa.models import Classifier
    from napari_ifa.models.answers import ToldActivation
    from napari_ifa.models.targets import Target
    from napari_ifa.reading import Series
    from napari_ifa.volumes import Volume


class Session:
    """The state of one viewer. Every change goes through a method and is told by a signal.

    Signals
    -------
    volume_changed(Volume | None), classifier_changed(Classifier | None),
    analysis_changed(Analysis | None) : another one is open.
    explanation_changed(Explanation | None) : another case, model, class or scale.
    mask_changed(Explanation) : the same explanation with other features kept.
    prediction_changed(Prediction | None)
    said(kind, sentence, about) : ``"error"`` or ``"note"``, for the message line of the panel
        that it is about: ``"study"`` or ``"model"``.
    missing_wanted(sentence) : slices are missing, so that it is only explained when told to.
    """

    volume_changed = Signal(object)
    classifier_changed = Signal(object)
    analysis_changed = Signal(object)
    explanation_changed = Signal(object)
    mask_changed = Signal(object)
    prediction_changed = Signal(object)
    said = Signal(str, str, str)
    missing_wanted = Signal(str)

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.browser = StudyBrowser(
            runner, self.set_volume, lambda kind, sentence: self.say(kind, sentence, "study")
        )
        self.volume: Volume | None = None
        # What the volume was read from; None where it came in by another way.
        self.opened: Series | None = None
        # What a person said about a volume with missing slices; None where nobody was asked.
        self._despite_missing: bool | None = None
        self.classifier: Classifier | None = None
        self.models = ModelLoader(runner, self.set_classifier, self.fail)
        self.analysis: Analysis | None = None
        self.analyses = CohortAnalyses(
            runner, self.adopt, lambda sentence: self.say("note", sentence), self.fail
        )
        self.explanation: Explanation | None = None
        # Whether what is explained fits the cohort; None without an analysis.
        self.fit: CohortFit | None = None
        self.prediction: Prediction | None = None
        self._predictor = Predictor(
            runner, self._take_prediction, lambda sentence: self.say("note", sentence), self.fail
        )
        # None: the class that the model predicts.
        self._chosen_class: int | None = None
        # "all" or "true": over every case of the cohort, or over those of the class.
        self.importance_kind: Literal["all", "true"] = "all"
        # None: what suits the model and the analysis.
        self._chosen_target: Target | None = None
        self._chosen_scale: ScaleChoice | None = None
        # None: all features, however many the model has.
        self._mask: FeatureMask | None = None
        # Whether the next studies keep the features that are chosen now.
        self.features_pinned = False

    # ---------------------------------------------------------------- study

    def open_path(self, *paths: str | Path) -> None:
        """Look into folders and files; open the only series there is, or list what there are."""
        self.browser.look_into(paths)

    def set_volume(self, volume: Volume | None, series: Series | None = None) -> None:
        """Make an image the study, of the predicted class and, unless pinned, of all features."""
        if volume is self.volume:
            return
        self.volume, self.opened = volume, series
        self._chosen_class, self._despite_missing = None, None
        if isinstance(self._chosen_target, int):
            # It may be the class that the next study shows.
            self._chosen_target = None
        if not self.features_pinned:
            self._mask = None
        was_explained = self.explanation is not None
        self._predictor.forget()
        self.explanation, self.prediction, self.fit = None, None, None
        # First, so that the layers of the last study go in one step.
        self.volume_changed.emit(volume)
        if was_explained:
            self.explanation_changed.emit(None)
            self.prediction_changed.emit(None)
        self._explain()

    # ---------------------------------------------------------------- model

    def set_classifier(self, classifier: Classifier | None) -> None:
        """Make a network the one that is explained; an analysis of another one is closed."""
        self.classifier = classifier
        self._chosen_class, self._chosen_target, self._mask = None, None, None
        self._drop_explanation()
        if self.analysis is not None and classifier is not None:
            try:
                self.analysis.check(classifier)
            except AnalysisMismatchError:
                self.set_analysis(None)
                self.say("note", "The analysis was made with another model and has been closed.")
        self.classifier_changed.emit(classifier)
        self._explain()

    def choose_activation(self, told: ToldActivation | None) -> None:
        """How the outputs of a model become probabilities whose bundle does not say it.

        The network's answer is the same; it runs again only for what a class is now compared with.
        """
        classifier = self.classifier
        if classifier is None:
            return
        source = classifier.source
        if source is not None:
            source = replace(source, output_activation=told)
        self.classifier = replace(classifier, output_activation=told or "unknown", source=source)
        if self._chosen_target not in self.targets():
            self._chosen_target = None
        self.classifier_changed.emit(self.classifier)
        if self.explanation is None:
            self._explain()
            return
        # Of outputs that stand alone no class is compared with others.
        run = self._is_run(self.target)
        case = replace(self.explanation.case, classifier=self.classifier)
        explanation = replace(self.explanation, case=case)
        if run:
            explanation = explanation.select(target=self.target)
        self._change(self._on_scale(explanation), self._lacking() if run else "")
        self._predictor.predict(self.explanation)
        if not run:
            self._explain()

    # ------------------------------------------------------------- analysis

    def run_analysis(self, cohort: str | Path, split: str | None, method: str) -> None:
        """Analyse a cohort with the open model."""
        models = self.models
        if models.folder is None or self.classifier is None:
            self.say("error", "Load a model first: an analysis is made with one.")
            return
        self.analyses.run(self.classifier, models.folder, models.trusted, cohort, split, method)

    def set_analysis(self, analysis: Analysis | None) -> None:
        """Make an analysis the one whose scale and importance are shown."""
        self.analysis = analysis
        if self._chosen_target not in self.targets():
            self._chosen_target = None
        # What is on the screen is of the last one, and a new explanation takes its time.
        self._drop_explanation()
        self.analysis_changed.emit(analysis)
        self._explain()

    @property
    def analysis_is_saved(self) -> bool:
        """Whether the open analysis is in a file."""
        return all(self.analysis is not other for other in self.analyses.unsaved)

    @property
    def pending(self) -> Analysis | None:
        """The last analysis that was run, is in no file yet and is not the open one."""
        others = [other for other in self.analyses.unsaved if other is not self.analysis]
        return others[-1] if others else None

    def save_analysis(self, path: str | Path, analysis: Analysis | None = None) -> None:
        """Write an analysis: the one given, else the open one, else the one that waits for it."""
        analysis = analysis or self.analysis or self.pending
        if analysis is not None:
            self.analyses.save(analysis, path)

    def adopt(self, analysis: Analysis) -> None:
        """Make an analysis the open one, if it is of the open model."""
        if self.classifier is not None:
            try:
                analysis.check(self.classifier)
            except AnalysisMismatchError as error:
                self.fail(error)
                return
        self.set_analysis(analysis)

    # ---------------------------------------------------------- explanation

    @property
    def mask(self) -> FeatureMask | None:
        """The features that are kept, once there is an explanation."""
        return None if self.explanation is None else self.explanation.mask

    def importance(self) -> NDArray[np.float64] | None:
        """Mean contribution over the cohort to the class on show: ``[F]``."""
        if self.explanation is None or self.analysis is None:
            return None
        class_idx, kind = self.explanation.class_idx, self.importance_kind
        compared = self.analysis.of_target(self.explanation.target)
        return np.asarray(compared.importance(class_idx, kind), dtype=float)

    def choose_importance(self, kind: Literal["all", "true"]) -> None:
        """Importance over all cases of the cohort, or over those of the class itself."""
        self.importance_kind = kind

    def select_class(self, class_idx: int) -> None:
        """Explain another class of the same case."""
        if self.explanation is None or class_idx == self.explanation.class_idx:
            return
        self._chosen_class = class_idx
        if self._chosen_target == class_idx:
            self._chosen_target = None
            name = self.explanation.class_names[class_idx]
            self.say("note", f"{name} was what the class before was compared with.")
        self._select(class_idx=class_idx, target=self.target)

    def targets(self) -> list[Target]:
        """What the class on show can be compared with: names, and numbers of classes.

        With an analysis, what that has counted. The one other class of two is named once.
        """
        from napari_ifa.models.targets import LOGIT, target_key

        if self.classifier is None:
            return [LOGIT]
        found = list(self.classifier.targets)
        if len(self.classifier.class_names) > 2 and len(found) > 1:
            shown = None if self.explanation is None else self.explanation.class_idx
            found += [idx for idx in range(len(self.classifier.class_names)) if idx != shown]
        if self.analysis is not None:
            held = self.analysis.held_targets
            found = [target for target in found if target_key(target) in held]
        return found

    @property
    def target(self) -> Target:
        """What the class is compared with: what was chosen, else what suits model and analysis."""
        from napari_ifa.analysis.reading import reading_target
        from napari_ifa.models.targets import LOGIT

        if self._chosen_target is not None:
            return self._chosen_target
        if self.classifier is None:
            return LOGIT
        return reading_target(self.classifier, self.analysis).target

    def compare_with(self, target: Target) -> None:
        """Compare the class on show with nothing, all others, the runner-up, or another class."""
        self._chosen_target = target
        if self.explanation is None:
            return
        if self._is_run(target):
            self._select(target=target)
        else:
            self._explain()

    @property
    def scale_choice(self) -> ScaleChoice:
        """How the common scale is made."""
        from napari_ifa.analysis.scale import READING

        return self._chosen_scale or READING

    def choose_scale(self, choice: ScaleChoice) -> None:
        """Make the common scale another way, see `ScaleChoice`."""
        self._chosen_scale = choice
        if self.explanation is not None and choice != self.explanation.choice:
            self._select(choice=choice)

    def set_mask(self, mask: FeatureMask) -> None:
        """Keep only some features, in the picture and in the prediction."""
        if self.explanation is None:
            return
        self._mask = mask
        self.explanation = self.explanation.select(mask=mask)
        self.mask_changed.emit(self.explanation)
        self._predictor.predict(self.explanation)
        self._predictor.look_for_a_path_around()

    def pin_features(self, pinned: bool) -> None:
        """Whether the next studies keep the features that are chosen now."""
        self.features_pinned = pinned

    @property
    def waits_for_consent(self) -> bool:
        """Whether there is no explanation only because slices are missing."""
        missing = self.volume is not None and bool(self.volume.report.missing)
        return missing and self.classifier is not None and not self._despite_missing

    def ask_about_missing(self) -> None:
        """Ask whether the study is to be explained although slices are missing."""
        if self.volume is not None and self.waits_for_consent:
            self.missing_wanted.emit(_missing_slices(self.volume))

    def answer_missing(self, explain: bool) -> None:
        """A person's answer for this study."""
        self._despite_missing = explain
        if explain:
            self._explain()
        elif self.volume is not None:
            self.say("note", f"Not explained: {_missing_slices(self.volume)}")

    def _explain(self) -> None:
        volume, classifier, analysis = self.volume, self.classifier, self.analysis
        if volume is None or classifier is None:
            return
        if self.waits_for_consent:
            if self._despite_missing is None:
                self.ask_about_missing()
            return
        class_idx, mask, target = self._chosen_class, self._mask, self.target
        despite_missing = bool(self._despite_missing)

        def work(progress: Any, stop: Any) -> Explanation:
            from napari_ifa.analysis import explain

            explanation = explain(
                classifier,
                volume,
                analysis,
                class_idx=class_idx,
                mask=mask,
                target=target,
                allow_missing=despite_missing,
                progress=progress,
                stop=stop,
            )
            # Here, since it may take a moment: the explanation remembers what was found.
            _ = explanation.fit
            return explanation

        def failed(error: IfaError) -> None:
            # Nothing is said of a study or model that has been closed meanwhile.
            if volume is self.volume and classifier is self.classifier:
                self._drop_explanation()
                self.fail(error)

        self._runner.start("Explaining", work, self._show, failed, key="explain")

    def _show(self, explanation: Explanation) -> None:
        from napari_ifa.models.targets import target_key

        case = explanation.case
        if explanation.volume is not self.volume or case.classifier is not self.classifier:
            return  # closed while the network was at work
        self.fit = explanation.fit
        # All of this may have been chosen while the network was at work.
        run = target_key(self.target) in case.activations
        chosen = explanation.select(
            self._chosen_class, self._mask, self.scale_choice, self.target if run else None
        )
        self._change(self._on_scale(chosen), self._lacking())
        if self.explanation is not None:
            self._predictor.predict(self.explanation)

    def _lacking(self) -> str:
        """A sentence where the analysis lacks what the class would best be compared with."""
        from napari_ifa.analysis.reading import reading_target

        if self._chosen_target is not None or self.classifier is None:
            return ""
        return reading_target(self.classifier, self.analysis).note

    def _is_run(self, target: Target) -> bool:
        """Whether the case on show was run for a target."""
        from napari_ifa.models.targets import target_key

        explanation = self.explanation
        return explanation is not None and target_key(target) in explanation.case.activations

    def _select(self, **chosen: Any) -> None:
        """The case on show in another way, see `Explanation.select`."""
        if self.explanation is not None:
            self._change(self._on_scale(self.explanation.select(**chosen)))

    def _change(self, explanation: Explanation, note: str = "") -> None:
        self.explanation = explanation
        self.explanation_changed.emit(explanation)
        notes = [*([note] if note else []), *explanation.map_notes]
        if notes:
            self.say("note", " ".join(notes))

    def _on_scale(self, explanation: Explanation) -> Explanation:
        """The explanation as it is, or without its analysis where that gives no scale."""
        try:
            _ = explanation.scale
        except AnalysisError as error:
            self.fail(error)
            return replace(explanation, analysis=None)
        return explanation

    def export(
        self,
        format_: ExportFormat,
        path: Path,
        shown: Shown,
        explanation: Explanation | None = None,
    ) -> None:
        """Write the explanation given, else the one on show, whatever is chosen meanwhile."""
        chosen = explanation or self.explanation
        if chosen is None:
            return

        def work(progress: Any, stop: Any) -> list[Path]:
            return format_.write(chosen, path, shown, progress, stop)

        def done(written: list[Path]) -> None:
            self.say("note", what_was_written(format_, written))

        # Of a key of its own: another export must not end this one.
        self._runner.start(
            f"Exporting {format_.title}",
            work,
            done,
            self.fail,
            key=f"export {path}",
            lane="export",
        )

    def _take_prediction(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.prediction_changed.emit(prediction)

    def _drop_explanation(self) -> None:
        self._predictor.forget()
        if self.explanation is not None:
            self.explanation, self.prediction, self.fit = None, None, None
            self.explanation_changed.emit(None)
            self.prediction_changed.emit(None)

    def say(self, kind: str, sentence: str, about: str = "model") -> None:
        """Tell a person something in one sentence; see ``said``."""
        self.said.emit(kind, sentence, about)

    def fail(self, error: IfaError) -> None:
        """Tell a person why a job ended, or that it was cancelled."""
        self.say("note" if isinstance(error, Cancelled) else "error", str(error))


def _missing_slices(volume: Volume) -> str:
    are = counted(len(volume.report.missing), "slice is", "slices are")
    return f"{are} missing in this study, and the model would see blank ones in their place."
