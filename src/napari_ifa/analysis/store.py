"""An analysis and its file: one NetCDF-4 file that any notebook opens with xarray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.analysis.variables import FORMAT_VERSION, VARIABLES
from napari_ifa.atomic import whole_file
from napari_ifa.errors import AnalysisError, AnalysisMismatchError

if TYPE_CHECKING:
    from napari_ifa.models.classifier import Classifier

#: Attributes that must be equal for an analysis to be valid for a model.
IDENTITY = ("weights", "network", "layer", "preprocessing", "class names")

Basis = Literal["voxels", "extremes"]
Scope = Literal["class", "all"]
Kind = Literal["all", "true"]


@dataclass(frozen=True, eq=False)
class Analysis:
    """The integrated feature analysis of one cohort by one model.

    ``dataset`` has the dimensions ``feature``, ``class``, ``case`` and ``bin``; every variable
    carries its unit and long name. See ``variables``.
    """

    dataset: xr.Dataset

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class."""
        return tuple(str(name) for name in self.dataset["class"].values)

    @property
    def method(self) -> str:
        """The class activation method's id."""
        return str(self.dataset.attrs["method"])

    @property
    def features(self) -> int:
        """Features of the target layer."""
        return int(self.dataset.sizes["feature"])

    @property
    def cases(self) -> xr.Dataset:
        """One row per case: id, label, logits, sums and extremes of the class activation."""
        return self.dataset[[name for name, v in self.dataset.items() if "case" in v.dims]]

    @property
    def importance_all(self) -> xr.DataArray:
        """Mean contribution over every case, ``[F, C]``, in logit units (eq. 3)."""
        return self.dataset["importance_all"]

    @property
    def importance_true(self) -> xr.DataArray:
        """Mean contribution over the cases of the class itself, ``[F, C]`` (eq. 4)."""
        return self.dataset["importance_true"]

    def importance(self, class_idx: int, kind: Kind = "all") -> NDArray[np.float64]:
        """A column of the importance matrix, ``[F]``."""
        self._check_class(class_idx)
        result: NDArray[np.float64] = self.dataset[f"importance_{kind}"].values[:, class_idx]
        return result

    def principal_features(
        self, class_idx: int, top: float = 0.05, by: Ranking = "value", kind: Kind = "all"
    ) -> FeatureMask:
        """The top share of a class's features (5 % by default)."""
        matrix = self.dataset[f"importance_{kind}"].values
        column = self.importance(class_idx, kind)
        return FeatureMask.top(column, top, by, contrast=np.nanmean(matrix, axis=1))

    def distribution(self) -> Distribution:
        """The class activations of every voxel of every case."""
        data = self.dataset
        return Distribution(
            bins=data["bin"].values,
            counts=data["voxel_count"].values,
            minimum=data["voxel_minimum"].values,
            maximum=data["voxel_maximum"].values,
            mean=data["voxel_mean"].values,
            sum_of_squares=data["voxel_sum_of_squares"].values,
            not_finite=data["voxel_not_finite"].values,
        )

    def scale(
        self,
        class_idx: int,
        low: float | None = None,
        high: float = 90,
        basis: Basis = "voxels",
        scope: Scope = "class",
    ) -> CommonScale:
        """The common scale of a class (eq. 1 and 2).

        Parameters
        ----------
        low, high : percentiles that map to 0.1 and 0.9; ``low`` is 10 for voxels and 50 for
            extremes where it is not given.
        basis : ``"voxels"``, percentiles over all voxels; ``"extremes"``, the low percentile of
            the cases' minima and the high one of their maxima.
        scope : a scale for this class, or one for all classes.

        Raises
        ------
        AnalysisError
            For an unknown class, percentiles out of order or a constant cohort.
        """
        self._check_class(class_idx)
        if low is None:
            low = 50.0 if basis == "extremes" else 10.0
        if not (0 <= low <= 100 and 0 <= high <= 100) or (basis == "voxels" and low >= high):
            raise AnalysisError(
                f"The percentiles {low:g} and {high:g} are not in order between 0 and 100."
            )
        if basis == "extremes":
            valleys = self.dataset["activation_minimum"].values
            peaks = self.dataset["activation_maximum"].values
            columns = slice(None) if scope == "all" else class_idx
            p_low = float(np.percentile(valleys[:, columns], low))
            p_high = float(np.percentile(peaks[:, columns], high))
        else:
            values = self.distribution()
            row = class_idx
            if scope == "all":
                values, row = values.over_classes(), 0
            p_low, p_high = values.percentile([low, high], row)
        return CommonScale(float(p_low), float(p_high), low, high, basis, scope)

    def check(self, classifier: Classifier) -> None:
        """Refuse a model that this analysis was not made with.

        Raises
        ------
        AnalysisMismatchError
            Lists what differs.
        """
        identity = classifier.identity()
        stored = self.dataset.attrs
        different = [key for key in IDENTITY if str(stored.get(_attribute(key))) != identity[key]]
        if different:
            raise AnalysisMismatchError(
                f"This analysis was made with another model: {', '.join(different)} differ;"
                " run the analysis again with this model, or open the model it was made with."
            )

    def save(self, path: str | Path) -> None:
        """Write the file; it appears whole or not at all.

        Raises
        ------
        AnalysisError
            Where the place cannot be written.
        """
        target = Path(path).expanduser()
        encoding = {
            name: {"zlib": True, "complevel": 4}
            for name, variable in self.dataset.variables.items()
            if variable.dtype.kind in "fiu" and variable.ndim
        }
        try:
            with whole_file(target) as part:
                self.dataset.to_netcdf(part, engine="h5netcdf", encoding=encoding)
        except OSError as error:
            raise AnalysisError(
                f"{target.name} cannot be written there; choose another folder."
            ) from error

    def _check_class(self, class_idx: int) -> None:
        if not 0 <= class_idx < len(self.class_names):
            raise AnalysisError(
                f"There is no class {class_idx}; the analysis has {len(self.class_names)} classes."
            )


def load_analysis(path: str | Path, classifier: Classifier | None = None) -> Analysis:
    """Read an analysis file and, given a model, check that it belongs to it.

    Raises
    ------
    AnalysisError
        Where the file is missing, damaged, of another kind or of a newer version.
    AnalysisMismatchError
        Where it was made with another model.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise AnalysisError(f"{file.name}: no such file; give an analysis file (.nc).")
    try:
        with xr.open_dataset(file, engine="h5netcdf") as opened:
            dataset = opened.load()
    except Exception as error:
        raise AnalysisError(
            f"{file.name} is damaged or is no analysis file; run the analysis again."
        ) from error
    version = dataset.attrs.get("format_version")
    if version is None:
        raise AnalysisError(f"{file.name} is no analysis file; give one written by napari-ifa.")
    if not str(version).isdecimal() or int(version) > FORMAT_VERSION:
        raise AnalysisError(
            f"{file.name} was written by a newer napari-ifa (format {version}, this one reads"
            f" up to {FORMAT_VERSION}); update napari-ifa."
        )
    wrong = [
        name
        for name, (dimensions, _, _) in VARIABLES.items()
        if name not in dataset or dataset[name].dims != dimensions
    ]
    needed = ("method", *map(_attribute, IDENTITY))
    wrong += [name for name in needed if name not in dataset.attrs]
    wrong += [name for name in ("class", "case", "bin") if name not in dataset.coords]
    if wrong:
        raise AnalysisError(f"{file.name} lacks a right '{wrong[0]}'; run the analysis again.")
    analysis = Analysis(dataset)
    if classifier is not None:
        analysis.check(classifier)
    return analysis


def identity_attributes(classifier: Classifier) -> dict[str, str]:
    """A model's identity as the file's attributes."""
    return {_attribute(key): text for key, text in classifier.identity().items()}


def _attribute(key: str) -> str:
    return "model_" + key.replace(" ", "_")
