"""Integrated feature analysis of a cohort: every statistic from one pass over its cases."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from napari_ifa.analysis.assembly import assemble
from napari_ifa.analysis.counting import Profiles
from napari_ifa.analysis.formulas import plan_of_formula
from napari_ifa.analysis.given import Source, given_classifier, given_cohort
from napari_ifa.analysis.opening import load_analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import Shard
from napari_ifa.analysis.shard_folder import ShardFolder
from napari_ifa.analysis.shard_run import PassOptions, ShardTask, compute_shard, seen
from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.batches import BatchSize, read_ahead
from napari_ifa.cohorts.cohort import Case, Cohort
from napari_ifa.cohorts.skipped import SkippedCases, check_not_empty, most_skipped
from napari_ifa.cohorts.truth import Truth
from napari_ifa.disk import WorkFolder, reason_of
from napari_ifa.errors import AnalysisError, Cancelled
from napari_ifa.memory import memory_said
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.targets import Target, target_key
from napari_ifa.progress import Progress, Stop

#: Cases of a shard: fewer cost time, more are lost when the work is interrupted.
SHARD_CASES = 32
#: Shards of a large cohort, at most; each is a file.
_MOST_SHARDS = 256


@memory_said(
    AnalysisError, "analyse this cohort", "use a batch size of 1, fewer workers or no profiles"
)
def analyze(
    classifier: Classifier | Source,
    cohort: Cohort | Source,
    method: str = "gradcam",
    *,
    batch_size: int | None = None,
    profiles: Profiles = "float32",
    skip_up_to: float = 0.05,
    targets: Sequence[Target] | None = None,
    shard_size: int | None = None,
    loaders: int | None = None,
    resume_dir: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Analysis:
    """Run a cohort through a model once and keep what its common scale and importance need.

    The cohort is divided into shards, runs of cases; their sums are added in the cohort's order,
    so that the outcome is the same bit for bit however many workers there are, in whatever order
    they finish, and wherever the work was interrupted. Another batch size, shard size or order of
    cases changes it by rounding only (1e-6 of the values).

    Parameters
    ----------
    classifier, cohort : or the paths that they are read from.
    method : id of a class activation method.
    batch_size : cases that go through the network together, where their inputs' sizes agree; by
        default what suits the inputs' size.
    profiles : how the cases' contribution profiles ``[case, feature]`` are kept: ``"float32"``,
        ``"float16"``, or ``"none"`` to leave them out, which leaves no outliers to be found.
    skip_up_to : share of the cases that may be skipped because they cannot be read or explained;
        the analysis lists them.
    targets : what a class is compared with, see `models.targets`; a class by its name or number.
        By default all that the model has beside single classes, which cost up to 5 % in a cohort
        of hundreds with methods that are linear in the gradient. The logit is always among them.
    shard_size : cases of a shard; by default 32, more in large cohorts and with many classes.
    loaders : threads that open and preprocess images.
    resume_dir : folder that keeps finished shards; an interrupted analysis goes on from there. It
        is left to be removed by the caller once the analysis is saved.
    workers : processes on this machine to share the shards, by Dask.
    scheduler : address of a Dask scheduler whose workers do; they must see the bundle and the
        images under the same paths.
    progress : called with cases done and cases in all.
    stop : asked before every case; True ends the work.

    Raises
    ------
    CohortError
        An empty cohort, a label that the model lacks, or more cases than may be skipped.
    AnalysisError
        No space for the shards, a scheduler that does not answer.
    AnalysisMismatchError
        ``resume_dir`` holds shards of another analysis.
    AlreadyRunningError
        Another analysis is writing to ``resume_dir``.
    Cancelled
        ``stop`` returned True; finished shards are kept.
    """
    classifier, cohort = given_classifier(classifier), given_cohort(cohort)
    check_not_empty(cohort)
    _check_options(method, shard_size, profiles)
    BatchSize(batch_size)
    most = most_skipped(skip_up_to, len(cohort))
    truth = Truth.of(classifier, cohort.cases)
    size = shard_size or _suitable_size(len(cohort), len(classifier.class_names))
    wanted = classifier.wanted_targets(targets)
    options = PassOptions(method, batch_size, profiles, most, wanted)
    tasks = _tasks(cohort, truth, size)
    with ExitStack() as stack:
        parts = stack.enter_context(_new_folder(None)) if resume_dir is None else Path(resume_dir)
        plan = _plan(classifier, cohort, options, size)
        folder = stack.enter_context(ShardFolder(Path(os.path.expanduser(parts)), plan))
        done = _Done(cohort, options.most_skipped, progress)
        missing = [task for task in tasks if not done.found(folder.finished(task.number), task)]
        if scheduler is not None or workers is not None:
            from napari_ifa.analysis.distributed import computed_by_workers

            shards = computed_by_workers(
                classifier, missing, options, workers, scheduler, done.advance, stop
            )
        else:
            shards = _computed_here(classifier, missing, options, loaders, done.advance, stop)
        try:
            for shard in shards:
                folder.keep(shard)
                done.check(shard)
        except Cancelled as error:
            raise Cancelled(
                f"The analysis was stopped after {done.cases} of {len(cohort)} cases."
            ) from error
        home = _new_folder(None if resume_dir is None else folder.folder.absolute().parent)
        file = home.path / "analysis.nc"
        numbers = [task.number for task in tasks]
        assemble(file, folder, numbers, classifier, cohort, truth, method)
        analysis = load_analysis(file)
        if analysis.file is not None:
            return replace(analysis, home=home)
        home.remove()
        return analysis


class _Done:
    """How many cases are done, told to the caller, and whether too many had to be skipped."""

    def __init__(self, cohort: Cohort, most_skipped: int, progress: Progress | None) -> None:
        self.cases = 0
        self._cohort = cohort
        self._skipped = SkippedCases(most_skipped)
        self._progress = progress

    def found(self, shard: Shard | None, task: ShardTask) -> bool:
        """Count a shard that was finished earlier, if there is one."""
        if shard is None or shard.files != task.files:
            return False
        self.advance(len(task.cases))
        self.check(shard)
        return True

    def advance(self, cases: int) -> None:
        """So many more cases are done."""
        self.cases += cases
        if self._progress is not None:
            self._progress(self.cases, len(self._cohort))

    def check(self, shard: Shard) -> None:
        """CohortError where more cases had to be skipped than may be."""
        self._skipped.add(*shard.skipped)


def _computed_here(
    classifier: Classifier,
    tasks: Sequence[ShardTask],
    options: PassOptions,
    loaders: int | None,
    advance: Callable[[int], None],
    stop: Stop | None,
) -> Iterator[Shard]:
    """The shards one after the other; images are read ahead across their borders."""
    wanted = (entry for task in tasks for entry in zip(task.positions, task.cases, strict=True))
    inputs = read_ahead(classifier, wanted, seen, loaders)
    with closing(inputs):
        for task in tasks:
            yield compute_shard(classifier, task, inputs, options, progress=advance, stop=stop)


def _new_folder(near: Path | None) -> WorkFolder:
    try:
        return WorkFolder.temporary() if near is None else WorkFolder.near(near)
    except OSError as error:
        raise AnalysisError(AnalysisProblem.NOT_WRITTEN, reason=reason_of(error)) from error


def _suitable_size(cases: int, classes: int) -> int:
    """Cases of a shard; the sums of many classes are large, and are written once per shard."""
    return max(SHARD_CASES, classes // 4, -(-cases // _MOST_SHARDS))


def _tasks(cohort: Cohort, truth: Truth, size: int) -> list[ShardTask]:
    return [
        ShardTask(
            number=number,
            positions=tuple(range(start, min(start + size, len(cohort)))),
            cases=cohort.cases[start : start + size],
            labels=truth.labels[start : start + size],
            files=_files(cohort.cases[start : start + size]),
        )
        for number, start in enumerate(range(0, len(cohort), size))
    ]


def _files(cases: Sequence[Case]) -> str:
    """Differs where an image's file is another or has changed since."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(case.path for case in cases):
        try:
            found = path.stat()
            state = [found.st_size, found.st_mtime_ns]
        except OSError:
            state = []
        digest.update(json.dumps([str(path), *state]).encode())
    return digest.hexdigest()


def _plan(
    classifier: Classifier, cohort: Cohort, options: PassOptions, size: int
) -> dict[str, str]:
    """What finished shards depend on."""
    digest = hashlib.sha256()
    for case in cohort.cases:
        digest.update(
            json.dumps([case.id, case.label, case.item, case.member, case.group]).encode()
        )
    return {
        **classifier.identity(),
        "output": classifier.output_activation,
        "napari-ifa": version("napari-ifa"),
        "method": options.method,
        **plan_of_formula(options.method),
        "profiles": options.profiles,
        "targets": ", ".join(map(target_key, options.targets)),
        "shard size": str(size),
        "cohort": digest.hexdigest(),
    }


def _check_options(method: str, shard_size: int | None, profiles: str) -> None:
    from napari_ifa.cam import METHODS

    if method not in METHODS:
        raise AnalysisError(AnalysisProblem.NO_METHOD, method=method, methods=", ".join(METHODS))
    if shard_size is not None and shard_size < 1:
        raise AnalysisError(AnalysisProblem.NO_SHARD, size=shard_size)
    if profiles not in ("float32", "float16", "none"):
        raise AnalysisError(AnalysisProblem.NO_PROFILES, profiles=profiles)
