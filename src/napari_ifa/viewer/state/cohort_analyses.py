"""Analyses of cohorts: read from files, run, and kept until a person has saved them.

No Qt and no layers here, as in the session, which this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis
    from napari_ifa.errors import IfaError
    from napari_ifa.models import Classifier
    from napari_ifa.viewer.state.study_browser import Runner


class CohortAnalyses:
    """Brings analyses in and writes them out; which one is shown is the session's.

    Parameters
    ----------
    adopt : takes an analysis that has been read or run.
    say : takes a sentence, of a success.
    fail : takes the error that ended a job.

    Attributes
    ----------
    unsaved : what was run here and is in no file yet, the oldest first. A run may take hours, so
        it stays here when another analysis is opened.

    Signals
    -------
    unsaved_changed() : something was run, or saved.
    """

    unsaved_changed = Signal()

    def __init__(
        self,
        runner: Runner,
        adopt: Callable[[Analysis], None],
        say: Callable[[str], None],
        fail: Callable[[IfaError], None],
    ) -> None:
        self._runner, self._adopt, self._say, self._fail = runner, adopt, say, fail
        self.unsaved: tuple[Analysis, ...] = ()

    def load(self, path: str | Path) -> None:
        """Read an analysis file."""
        file = Path(path)

        def work(progress: Any, stop: Any) -> Analysis:
            from napari_ifa.analysis import load_analysis

            return load_analysis(file)

        self._runner.start("Loading the analysis", work, self._adopt, self._fail, key="load")

    def run(
        self,
        classifier: Classifier,
        bundle: Path,
        trusted: bool,
        cohort: str | Path,
        split: str | None,
        method: str,
    ) -> None:
        """Analyse a cohort with a model.

        The pass has a copy of the network of its own, so that cases can be explained meanwhile.
        """
        layer, source = classifier.target_layer, classifier.source
        told = None if source is None else source.output_activation

        def work(progress: Any, stop: Any) -> Analysis:
            from napari_ifa.analysis import analyze
            from napari_ifa.cohorts import read_cohort
            from napari_ifa.models import load_classifier

            cases = read_cohort(Path(cohort), split=split)
            own = load_classifier(bundle, classifier.device, layer, trusted, output_activation=told)
            return analyze(own, cases, method=method, progress=progress, stop=stop)

        def done(analysis: Analysis) -> None:
            self.unsaved = (*self.unsaved, analysis)
            self._adopt(analysis)
            self.unsaved_changed.emit()
            if analysis.skipped:
                name, reason = analysis.skipped[0]
                self._say(
                    f"{len(analysis.skipped)} of the cohort's cases could not be used and were"
                    f" skipped; the first: {name}: {reason}"
                )

        self._runner.start(
            "Analysing the cohort", work, done, self._fail, key="analysis", lane="analysis"
        )

    def save(self, analysis: Analysis, path: str | Path) -> None:
        """Write this very analysis, whatever is opened or run until it is written."""
        file = Path(path)

        def work(progress: Any, stop: Any) -> None:
            analysis.save(file, overwrite=True)

        def done(_: None) -> None:
            self.unsaved = tuple(other for other in self.unsaved if other is not analysis)
            self.unsaved_changed.emit()
            self._say("The analysis has been saved.")

        # Of a key of its own: saving another one must not end this.
        self._runner.start(
            "Saving the analysis", work, done, self._fail, key=f"save {file}", lane="export"
        )


def analysis_name(analysis: Analysis) -> str:
    """``"12 cases, gradcam"``: what an analysis is called in the panels."""
    return f"{int(analysis.dataset.sizes['case'])} cases, {analysis.method}"
