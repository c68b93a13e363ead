"""An analysis of contributions that a test makes up, worked out by plain numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from napari_ifa.analysis import Analysis
from napari_ifa.cohorts.truth import cases_of_class

MODEL = {
    "model_weights": "w",
    "model_network": "n",
    "model_layer": "l",
    "model_preprocessing": "p",
    "model_class_names": "c",
    "model_name": "bundle",
    "method": "gradcam",
}


def known_analysis(
    contributions: np.ndarray,
    labels: Sequence[int],
    *,
    class_names: Sequence[str] = (),
    profiles: type | None = np.float64,
    content: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
    logits: np.ndarray | None = None,
    targets: Sequence[float] | None = None,
    case_ids: Sequence[str] = (),
    **attributes: str,
) -> Analysis:
    """Of contributions ``[N, F, C]``; −1 labels a case without a label.

    With one class, label 1 means its presence. A regression has ``output_activation="none"``.
    ``groups`` are stored as they are, 0 for a case whose group is not known. ``profiles`` is the
    type in which each case's own contributions are stored, None for none.
    """
    k, truth = np.asarray(contributions, float), np.asarray(labels)
    cases, features, classes = k.shape
    mine = cases_of_class(truth, classes)
    of_class = [k[mine[:, c], :, c] for c in range(classes)]
    names = list(class_names) or [f"class {c}" for c in range(classes)]
    answers = k.sum(axis=1) if logits is None else logits
    explained = np.where(truth >= 0, truth, answers.argmax(axis=1)) if classes > 1 else 0
    matrix, per_class = ("feature", "class"), ("class",)
    variables = {
        "importance_all": (matrix, k.mean(axis=0)),
        "variance_all": (matrix, _variance(k)),
        "frequency_all": (matrix, (k > 0).mean(axis=0)),
        "importance_true": (matrix, _columns(of_class, lambda x: x.mean(axis=0), features)),
        "variance_true": (matrix, _columns(of_class, _variance, features)),
        "frequency_true": (
            matrix,
            _columns(of_class, lambda x: (x > 0).mean(axis=0), features),
        ),
        "cases_true": (per_class, np.array([len(x) for x in of_class])),
        "cases_all": ((), np.int64(cases)),
        "label": (("case",), truth),
        "target": (("case",), np.full(cases, np.nan) if targets is None else np.array(targets)),
        "logits": (("case", "class"), answers),
    }
    if profiles is not None:
        own = k[np.arange(cases), :, explained]
        variables["contribution"] = (("case", "feature"), own.astype(profiles))
    if content is not None:
        variables["content"] = (("case",), np.array(content, dtype=np.uint64))
    if groups is not None:
        variables["group"] = (("case",), np.array(groups, dtype=np.uint64))
    coordinates = {"class": names, "case": list(case_ids) or [f"case {n}" for n in range(cases)]}
    return Analysis(xr.Dataset(variables, coordinates, MODEL | attributes))


def _variance(values: np.ndarray) -> np.ndarray:
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.var(axis=0, ddof=1)


def _columns(of_class: list[np.ndarray], measure, features: int) -> np.ndarray:
    empty = np.full(features, np.nan)
    return np.stack([measure(x) if len(x) else empty for x in of_class], axis=1)
