"""Integrated feature analysis of a cohort: every statistic from one pass over its cases."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from napari_ifa.analysis.cohort import Case, Cohort
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.store import Analysis, identity_attributes
from napari_ifa.analysis.variables import described
from napari_ifa.errors import BundleError, Cancelled, CohortError, IfaError
from napari_ifa.models.classifier import Classifier
from napari_ifa.volumes import read_volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from napari_ifa.cam import ClassActivation

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]

#: Inputs that are read ahead of the network.
_AHEAD = 2
#: Label of a case without one.
_UNLABELLED = -1


def analyze(
    classifier: Classifier,
    cohort: Cohort,
    method: str = "gradcam",
    *,
    batch_size: int = 1,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Analysis:
    """Run a cohort through a model once and keep what its common scale and importance need.

    Parameters
    ----------
    method : id of a class activation method.
    batch_size : cases that go through the network together, where their inputs' sizes agree; the
        result does not depend on it beyond rounding.
    progress : called with cases done and cases in all.
    stop : asked before every batch; True ends the work.

    Raises
    ------
    CohortError
        A case that cannot be read or has a label that the model lacks; the case is named.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork, class_activation

    labels = [_label(classifier, case) for case in cohort.cases]
    parts: list[_Part] = []
    done = 0
    with CutNetwork(classifier.network, classifier.target_layer) as cut:
        for batch in _batches(_inputs(classifier, cohort.cases), batch_size):
            if stop is not None and stop():
                raise Cancelled(f"The analysis was stopped after {done} of {len(cohort)} cases.")
            activation = class_activation(
                cut,
                _stacked(batch).to(classifier.device),
                method=method,
                class_idx="all",
                stop=stop,
            )
            truth = np.array(labels[done : done + len(batch)], dtype=np.int64)
            parts.append(_Part.of(activation, truth))
            done += len(batch)
            if len(parts) > 1:
                parts = [parts[0].merged(parts[1])]
            if progress is not None:
                progress(done, len(cohort))
    if not parts:
        raise CohortError("The cohort holds no case; choose a split that does.")
    return Analysis(_dataset(classifier, cohort, method, parts[0], np.array(labels)))


@dataclass(frozen=True, eq=False)
class _Rows:
    """One row per case; see the file's variables of the same names."""

    logits: list[NDArray[np.float64]]
    activation_sum: list[NDArray[np.float64]]
    activation_minimum: list[NDArray[np.float64]]
    activation_maximum: list[NDArray[np.float64]]
    contribution: list[NDArray[np.float32]]

    def extend(self, other: _Rows) -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))


@dataclass(frozen=True, eq=False)
class _Part:
    """What a set of cases adds to the analysis; parts merge."""

    rows: _Rows
    distribution: Distribution
    all: ContributionStatistics
    true: ContributionStatistics
    correct: ContributionStatistics

    @classmethod
    def of(cls, activation: ClassActivation, truth: NDArray[np.int64]) -> _Part:
        """From a batch's class activation of all classes and its cases' labels ``[B]``."""
        maps = activation.maps()
        values = maps.movedim(1, 0).flatten(1)
        contributions = activation.contributions().double().cpu().numpy().transpose(0, 2, 1)
        logits = activation.logits.double().cpu().numpy()
        classes = logits.shape[1]
        predicted = logits.argmax(axis=1)
        is_true = truth[:, None] == np.arange(classes)
        flat = maps.double().flatten(2).cpu().numpy()
        explained = np.where(truth >= 0, truth, predicted)
        rows = _Rows(
            logits=list(logits),
            activation_sum=list(flat.sum(axis=2)),
            activation_minimum=list(flat.min(axis=2)),
            activation_maximum=list(flat.max(axis=2)),
            contribution=[
                contributions[n, :, c].astype(np.float32) for n, c in enumerate(explained)
            ],
        )
        return cls(
            rows=rows,
            distribution=Distribution.of(values),
            all=ContributionStatistics.of(contributions, np.ones_like(is_true)),
            true=ContributionStatistics.of(contributions, is_true),
            correct=ContributionStatistics.of(
                contributions, is_true & (truth == predicted)[:, None]
            ),
        )

    def merged(self, other: _Part) -> _Part:
        self.rows.extend(other.rows)
        return _Part(
            self.rows,
            self.distribution.merged(other.distribution),
            self.all.merged(other.all),
            self.true.merged(other.true),
            self.correct.merged(other.correct),
        )


def _label(classifier: Classifier, case: Case) -> int:
    if case.label is None:
        return _UNLABELLED
    try:
        return classifier.class_index(case.label)
    except BundleError as error:
        raise CohortError(f"Case {case.id}: {error}") from error


def _inputs(classifier: Classifier, cases: tuple[Case, ...]) -> Iterator[MetaTensor]:
    """The network's inputs in order, read ahead by one thread while the network computes."""

    def load(case: Case) -> MetaTensor:
        try:
            return classifier.preprocess(read_volume(case.path))
        except IfaError as error:
            raise CohortError(f"Case {case.id} cannot be used: {error}") from error

    with ThreadPoolExecutor(1, thread_name_prefix="ifa-loader") as pool:
        waiting = iter(cases)
        ahead: list[Future[MetaTensor]] = [pool.submit(load, c) for c in islice(waiting, _AHEAD)]
        try:
            while ahead:
                ready = ahead.pop(0).result()
                ahead.extend(pool.submit(load, case) for case in islice(waiting, 1))
                yield ready
        finally:
            for future in ahead:
                future.cancel()


def _batches(inputs: Iterator[MetaTensor], size: int) -> Iterator[list[MetaTensor]]:
    """Runs of up to ``size`` inputs of one shape, in order."""
    batch: list[MetaTensor] = []
    for image in inputs:
        if batch and (len(batch) >= size or image.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _stacked(batch: list[MetaTensor]) -> Any:
    import torch

    return torch.stack([image.as_tensor().float() for image in batch])


def _dataset(
    classifier: Classifier,
    cohort: Cohort,
    method: str,
    part: _Part,
    labels: NDArray[np.int64],
) -> xr.Dataset:
    voxels = part.distribution
    rows = part.rows
    values = {
        "importance_all": part.all.mean,
        "importance_true": part.true.mean,
        "importance_true_correct": part.correct.mean,
        "variance_all": part.all.variance,
        "variance_true": part.true.variance,
        "frequency_all": part.all.frequency,
        "frequency_true": part.true.frequency,
        "cases_true": part.true.cases,
        "cases_correct": part.correct.cases,
        "voxel_count": voxels.counts,
        "voxel_minimum": voxels.minimum,
        "voxel_maximum": voxels.maximum,
        "voxel_mean": voxels.mean,
        "voxel_sum_of_squares": voxels.sum_of_squares,
        "voxel_not_finite": voxels.not_finite,
        "label": labels,
        "logits": np.array(rows.logits),
        "activation_sum": np.array(rows.activation_sum),
        "activation_minimum": np.array(rows.activation_minimum),
        "activation_maximum": np.array(rows.activation_maximum),
        "contribution": np.array(rows.contribution),
    }
    coordinates = {
        "class": ("class", np.array(classifier.class_names, dtype=object)),
        "case": ("case", np.array([case.id for case in cohort.cases], dtype=object)),
        "bin": ("bin", voxels.bins, {"long_name": "signed logarithmic bin, 0.1 % wide; 0 is zero"}),
    }
    libraries = [f"{name} {version(name)}" for name in ("torch", "monai", "numpy", "xarray")]
    attributes = {
        "method": method,
        "model_name": classifier.name,
        **identity_attributes(classifier),
        "cohort_name": cohort.name,
        "cohort_split": cohort.split or "",
        "cohort_sha256": cohort.manifest_sha256(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": ", ".join([f"python {platform.python_version()}", *libraries]),
    }
    return described(values, coordinates, attributes)
