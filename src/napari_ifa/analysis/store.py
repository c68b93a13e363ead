"""An analysis and its file: one NetCDF-4 file that any notebook opens with xarray."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from napari_ifa.analysis.cohort_scale import CaseValues, cohort_scale
from napari_ifa.analysis.distribution import Distribution, moments_as_sums
from napari_ifa.analysis.fine_counts import fine_of_arrays
from napari_ifa.analysis.fit.reference import FitReference
from napari_ifa.analysis.fit.stored import reference_of
from napari_ifa.analysis.identity import differing, identity_attributes
from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import (
    Basis,
    CommonScale,
    Form,
    ScaleChoice,
    Scope,
    check_choice,
)
from napari_ifa.analysis.variables import of_target, targets_of, write
from napari_ifa.cohorts.groups import group_numbers
from napari_ifa.cohorts.truth import decisive, predicted_classes
from napari_ifa.disk import WorkFolder, reason_of, whole_file
from napari_ifa.errors import AnalysisError, AnalysisMismatchError
from napari_ifa.models.targets import LOGIT, OTHERS, RUNNER_UP, TARGETS, Target, target_key
from napari_ifa.wording import listed

if TYPE_CHECKING:
    from napari_ifa.models.classifier import Classifier

Kind = Literal["all", "true", "true_correct"]
Values = Literal["voxels", "valleys", "peaks"]

#: What HDF5 writes of a small file beside its numbers, at most.
HDF5_BYTES = 2**18
#: Cases that a note names.
_MOST_NAMED = 10
#: What a class that is compared with itself has none of.
_OF_CLASS = (
    *("importance_all", "importance_true", "importance_true_correct"),
    *("variance_all", "variance_true", "frequency_all", "frequency_true"),
    *("activation_sum", "activation_minimum", "activation_maximum", "activation_quantiles"),
)


@dataclass(frozen=True, eq=False)
class Analysis:
    """The integrated feature analysis of one cohort by one model.

    Attributes
    ----------
    dataset : has the dimensions ``feature``, ``class``, ``case``, ``skipped`` and ``bin``; every
        variable carries its unit and long name. See ``variables``. Of one target.
    file : where the rows of a large cohort are read from; None where all is in memory.
    home : a temporary folder that holds the file as long as the analysis is in use.
    whole : all targets, of which the dataset is one; None where there is one alone.
    """

    dataset: xr.Dataset
    file: Path | None = None
    home: WorkFolder | None = None
    whole: xr.Dataset | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class."""
        return tuple(str(name) for name in self.dataset["class"].values)

    @property
    def method(self) -> str:
        """The class activation method's id."""
        return str(self.dataset.attrs["method"])

    @property
    def target(self) -> str:
        """What each class is compared with: ``"logit"`` (nothing), ``"others"``, ``"class 2"``."""
        return str(self.dataset.attrs.get("target", LOGIT))

    @property
    def compared_class(self) -> int | None:
        """The number of the one class that all are compared with; None where there is none.

        That class has no maps and no numbers of its own: they are NaN, and measures over classes
        and their cases leave it out.
        """
        number = self.target.removeprefix("class ")
        return int(number) if number != self.target else None

    @property
    def targets_run(self) -> tuple[Target, ...]:
        """What a pass needs for this target: the logit and, where it is another, the target."""
        own: Target = self.target if self.compared_class is None else self.compared_class
        return tuple(dict.fromkeys([LOGIT, own]))

    @property
    def held_targets(self) -> tuple[str, ...]:
        """The keys of all targets that the file holds; the logit alone in earlier versions."""
        return (self.target,) if self.whole is None else targets_of(self.whole)

    def of_target(self, target: Target) -> Analysis:
        """The same analysis for another target: matrices, counts and cases' values are of that.

        Parameters
        ----------
        target : a name in `models.targets.TARGETS`, or the name or number of a class.

        Raises
        ------
        AnalysisError
            Where the file holds no such target; the sentence says how to make one that does.
        """
        number = self._class_number(target)
        if number is None and target not in TARGETS:
            raise AnalysisError(
                AnalysisProblem.NO_SUCH_TARGET,
                asked=target,
                targets=", ".join(map(str, TARGETS)),
                classes=listed(self.class_names),
            )
        key = target_key(target if number is None else number)
        if key == RUNNER_UP and key not in self.held_targets and len(self.class_names) == 2:
            key = OTHERS
        if key == self.target:
            return self
        if self.whole is None or key not in self.held_targets:
            name = target if number is None else self.class_names[number]
            raise AnalysisError(
                AnalysisProblem.NO_TARGET,
                asked=name,
                held=listed([self._name_of(key) for key in self.held_targets]),
                how="" if number is None else f" with '{name}' among its targets",
            )
        dataset = of_target(self.whole, key)
        if number is not None:
            dataset = _without_class(dataset, number)
        return replace(self, dataset=dataset)

    def check_class(self, class_idx: int) -> None:
        """Refuse a class that has no numbers here.

        Raises
        ------
        AnalysisError
            There is no such class, or all are compared with it.
        """
        if not 0 <= class_idx < len(self.class_names):
            raise AnalysisError(
                AnalysisProblem.NO_CLASS, class_idx=class_idx, classes=len(self.class_names)
            )
        if class_idx == self.compared_class:
            raise AnalysisError(AnalysisProblem.SAME_CLASS, name=self.class_names[class_idx])

    @property
    def features(self) -> int:
        """Features of the target layer."""
        return int(self.dataset.sizes["feature"])

    @property
    def cases(self) -> xr.Dataset:
        """One row per case: id, label, logits, sums and extremes of the class activation."""
        return self.dataset[[name for name, v in self.dataset.items() if "case" in v.dims]]

    @property
    def case_ids(self) -> tuple[str, ...]:
        """One per case that was analysed."""
        return tuple(str(name) for name in self.dataset["case"].values)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers ``[N]``; -1 for a case without a label."""
        return np.asarray(self.dataset["label"].values)

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Numbers ``[N]``, equal for cases of one group, such as slices of one patient.

        A case whose group is not known is one of its own. None where no group is known, in files
        of an earlier version, and where all cases have the same one, as an anonymiser's ID. The
        numbers are this analysis's; the dataset's ``group`` compares with another's by the same
        model.
        """
        if "group" not in self.dataset:
            return None
        return group_numbers(self.dataset["group"].values)

    @property
    def targets(self) -> NDArray[np.float64]:
        """The values that a regression should give, ``[N]``; NaN where there is none."""
        return np.asarray(self.dataset["target"].values)

    @property
    def logits(self) -> NDArray[np.float64]:
        """The model's output, ``[N, C]``."""
        return np.asarray(self.dataset["logits"].values)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class numbers that the model answers, ``[N]``."""
        return predicted_classes(self.decisive)

    @property
    def decisive(self) -> NDArray[np.float64]:
        """The model's output ``[N, C]``; above 0, the only one of one class says it is present."""
        activation = str(self.dataset.attrs.get("output_activation", ""))
        return np.asarray(decisive(self.logits, activation))

    @property
    def is_regression(self) -> bool:
        """Whether the model answers with values, so that there are no classes to be right about."""
        return self.dataset.attrs.get("output_activation") == "none"

    @property
    def profiles(self) -> NDArray[np.float64] | None:
        """Contributions ``[N, F]`` to the true class, or without a label to the predicted one.

        In logits; None where they were left out.
        """
        if "contribution" not in self.dataset:
            return None
        return np.asarray(self.dataset["contribution"].values, dtype=float)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Cases that could not be analysed: their ids, and why in one sentence."""
        columns = (self.dataset[name].values for name in ("skipped", "skipped_reason"))
        return tuple((str(name), str(reason)) for name, reason in zip(*columns, strict=True))

    @property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Groups of cases that are the same image to the network, by their ids."""
        if "content" not in self.dataset:
            return ()
        groups = defaultdict(list)
        for name, content in zip(self.case_ids, self.dataset["content"].values, strict=True):
            groups[int(content)].append(name)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known about the cohort and its maps, one sentence each."""
        text = str(self.dataset.attrs.get("notes", ""))
        found = tuple(line for line in text.split("\n") if line)
        silent = self.silent
        if not silent:
            return found
        return (
            *found,
            f"The class activation is exactly zero everywhere, for every class, in"
            f" {len(silent)} of {len(self.case_ids)} cases: {listed(silent, _MOST_NAMED)}. They are"
            " counted like the others, but their maps show nothing.",
        )

    @cached_property
    def silent(self) -> tuple[str, ...]:
        """The ids of the cases whose class activation is zero everywhere, for every class."""
        extremes = ("activation_minimum", "activation_maximum")
        if not all(name in self.dataset for name in extremes):
            return ()
        zero = [(self.dataset[name].values == 0).all(axis=1) for name in extremes]
        return tuple(np.array(self.case_ids, dtype=object)[zero[0] & zero[1]])

    @property
    def importance_all(self) -> xr.DataArray:
        """Mean contribution over every case, ``[F, C]``, in logit units (eq. 3)."""
        return self.dataset["importance_all"]

    @property
    def importance_true(self) -> xr.DataArray:
        """Mean contribution over the cases of the class itself, ``[F, C]`` (eq. 4)."""
        return self.dataset["importance_true"]

    def importance(self, class_idx: int, kind: Kind = "all") -> NDArray[np.float64]:
        """A column of the importance matrix, ``[F]``.

        ``kind`` is ``"all"`` (eq. 3), ``"true"`` (eq. 4) or ``"true_correct"``, eq. 4 over the
        cases that are answered rightly alone.
        """
        self.check_class(class_idx)
        check_choice(kind, "importance", get_args(Kind))
        return np.asarray(self.dataset[f"importance_{kind}"].values[:, class_idx])

    def principal_features(
        self, class_idx: int, top: float = 0.05, by: Ranking = "value", kind: Kind = "all"
    ) -> FeatureMask:
        """The top share of a class's features (5 % by default)."""
        matrix = self.dataset[f"importance_{kind}"].values
        column = self.importance(class_idx, kind)
        return FeatureMask.top(column, top, by, contrast=np.nanmean(matrix, axis=1))

    @cached_property
    def reference(self) -> FitReference | None:
        """What other cases are compared with, to see whether they fit the cohort.

        None in files of an earlier version.
        """
        return reference_of(self.dataset)

    def place_of(self, content: int) -> int | None:
        """Where among the cases the one with this input lies; None where there is none."""
        if "content" not in self.dataset:
            return None
        found = np.flatnonzero(self.dataset["content"].values == np.uint64(content))
        return int(found[0]) if len(found) else None

    def distribution(self) -> Distribution:
        """The class activations of every voxel of every case."""
        return self._distribution

    @cached_property
    def _distribution(self) -> Distribution:
        data = self.dataset
        counts = data["voxel_count"].values
        totals, squares = moments_as_sums(
            counts.sum(axis=1), data["voxel_mean"].values, data["voxel_sum_of_squares"].values
        )
        return Distribution(
            bins=data["bin"].values,
            counts=counts,
            minimum=data["voxel_minimum"].values,
            maximum=data["voxel_maximum"].values,
            totals=totals,
            squares=squares,
            not_finite=data["voxel_not_finite"].values,
            fine=fine_of_arrays(data) if "fine_value" in data else None,
        )

    def scale(
        self,
        class_idx: int,
        low: float | None = None,
        high: float = 90,
        basis: Basis = "voxels",
        scope: Scope = "class",
        form: Form = "paper",
    ) -> CommonScale:
        """The common scale of a class (eq. 1 and 2), or its centred form.

        For the parameters see `ScaleChoice`.

        Raises
        ------
        AnalysisError
            For an unknown class or choice, percentiles out of order, a constant cohort, or counts
            of an earlier version that cannot tell the two percentiles apart.
        """
        return self.scaled(class_idx, ScaleChoice(form, basis, scope, low, high))

    def scaled(self, class_idx: int, choice: ScaleChoice) -> CommonScale:
        """The common scale of a class as it was chosen; errors as of `scale`."""
        self.check_class(class_idx)
        columns = self._columns(class_idx, choice.scope)
        found = self.distribution()
        quantiles = self.dataset.get("activation_quantiles")
        values = CaseValues(
            self.dataset["activation_minimum"].values[:, columns],
            self.dataset["activation_maximum"].values[:, columns],
            None if quantiles is None else quantiles.values[:, columns].astype(float),
            self.groups,
        )
        return cohort_scale(found.of_classes(columns).over_classes(), values, choice)

    def percentile_of(
        self, value: float, class_idx: int, values: Values = "voxels", scope: Scope = "class"
    ) -> float:
        """The percentage of the cohort's class activations that are lower than this one.

        For readouts such as "higher than 97 % of the cohort".

        Parameters
        ----------
        value : a class activation, in logits.
        values : among all ``"voxels"``, the cases' least values (``"valleys"``) or their greatest
            (``"peaks"``).
        scope : among this class's activations, or those of all classes.

        Raises
        ------
        AnalysisError
            For an unknown class, or one without a finite activation.
        """
        self.check_class(class_idx)
        check_choice(values, "set of values", get_args(Values))
        check_choice(scope, "scope", get_args(Scope))
        columns = self._columns(class_idx, scope)
        if values == "voxels":
            return self.distribution().of_classes(columns).over_classes().percentile_of(value)
        name = {"valleys": "activation_minimum", "peaks": "activation_maximum"}[values]
        import torch

        extremes = self.dataset[name].values[:, columns].reshape(1, -1)
        return Distribution.of(torch.from_numpy(extremes)).percentile_of(value)

    def check(self, classifier: Classifier) -> None:
        """Refuse a model that this analysis was not made with.

        Raises
        ------
        AnalysisMismatchError
            Lists what differs.
        """
        different = differing(self.dataset.attrs, identity_attributes(classifier))
        if different:
            raise AnalysisMismatchError(
                AnalysisProblem.OTHER_MODEL, different=different, differs=", ".join(different)
            )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the file; it appears whole or not at all.

        It holds every target of this one, and is read as of the logit.

        Parameters
        ----------
        overwrite : replace an analysis that is there already.

        Raises
        ------
        ExistingOutputError
            There is an analysis already, and ``overwrite`` was not asked for.
        IfaError
            There is a folder or a file of another kind.
        AnalysisError
            Where the place cannot be written.
        """
        target = Path(os.path.expanduser(path))
        content = self.dataset
        if self.whole is not None:
            content = self.whole.assign_attrs(self.dataset.attrs)
            del content.attrs["target"]
        needed = content.nbytes + HDF5_BYTES
        if self.file is not None:
            needed = self.file.stat().st_size
        try:
            with whole_file(target, "analysis", overwrite=overwrite, needed=needed) as part:
                if self.file is not None:
                    shutil.copyfile(self.file, part)
                else:
                    write(part, content)
        except OSError as error:
            raise AnalysisError(
                AnalysisProblem.FILE_NOT_WRITTEN, file=target.name, reason=reason_of(error)
            ) from error

    def _class_number(self, target: Target) -> int | None:
        """The class that a target is; None where it is none."""
        names = self.class_names
        if isinstance(target, str):
            if target in TARGETS:
                return None
            if target in names:
                return names.index(target)
            text = target.removeprefix("class ")
            target = int(text) if text.isdecimal() and text.isascii() else -1
        known = not isinstance(target, bool) and 0 <= target < len(names)
        return int(target) if known else None

    def _name_of(self, key: str) -> str:
        """What is said of a target: its name, or that of the class."""
        number = self._class_number(key)
        return key if number is None else f"'{self.class_names[number]}'"

    def _columns(self, class_idx: int, scope: Scope) -> list[int]:
        """One class, or all of them but one that the others are compared with."""
        if scope == "class":
            return [class_idx]
        return [c for c in range(len(self.class_names)) if c != self.compared_class]


def _without_class(dataset: xr.Dataset, class_idx: int) -> xr.Dataset:
    """Not a number in the column of a class that is compared with itself."""
    others = xr.DataArray(np.arange(dataset.sizes["class"]) != class_idx, dims="class")
    return dataset.assign(
        {name: dataset[name].where(others) for name in _OF_CLASS if name in dataset}
    )
