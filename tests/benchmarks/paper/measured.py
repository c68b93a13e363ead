"""What the public API measures of one network on one data set, as plain rows for the tables.

Scale and importance come from training cases, everything else from test cases, which neither the
network nor the analysis has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import napari_ifa as ifa
from napari_ifa.analysis import FeatureMask
from napari_ifa.analysis.importance import Ranking
from napari_ifa.evaluation import Evaluation
from napari_ifa.evaluation.measures.consistency import KINDS, Consistency, correlate
from napari_ifa.evaluation.sections import sections_of
from tests.benchmarks.paper.datasets import Dataset

Result = dict[str, Any]
Report = Callable[[str], None]

#: Kept shares of the masking curve; the paper's abstract speaks of 5 to 25 %.
FRACTIONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.75, 1.0)
#: Training cases that scale and importance rest on, at most.
MOST_ANALYSED = 1000
#: "The same performance": accuracy within this, or one case, of the accuracy with all features.
SAME = 0.01
#: The rankings of features: the method's own, and the one nearest to what the authors' code runs
#: with (the most extreme after the mean over classes is taken off).
RANKINGS: tuple[Ranking, ...] = ("value", "contrast")


def measure(
    classifier: ifa.Classifier,
    dataset: Dataset,
    method: str,
    top: float,
    with_findings: bool,
    report: Report,
) -> Result:
    """Analysis, evaluation and, if wanted, findings by one method."""
    started = time.perf_counter()
    known = dataset.fewer(MOST_ANALYSED).training
    analysis = ifa.analyze(classifier, known, method=method)
    analysed = time.perf_counter()
    evaluation = ifa.evaluate(classifier, analysis, dataset.test, top, fractions=FRACTIONS)
    rankings = {"value": _masked(evaluation)}
    for by in RANKINGS[1:] if with_findings else ():
        other = ifa.evaluate(classifier, analysis, dataset.test, top, by=by, fractions=FRACTIONS)
        rankings[by] = _masked(other)
    evaluated = time.perf_counter()
    result: Result = {
        "method": method,
        "top": top,
        "cases_analysed": len(known),
        "cases_test": evaluation.cases,
        "skipped": len(evaluation.skipped),
        "features": analysis.features,
        "rankings": rankings,
        **_evaluated(evaluation),
    }
    if with_findings:
        unseen = ifa.analyze(classifier, dataset.test, method=method)
        result["findings"] = _found(ifa.findings(analysis, unseen, top=top))
        result["principal_consistency"] = principal_consistency(analysis, unseen, top)
    result["seconds"] = {
        "analyze": round(analysed - started, 1),
        "evaluate": round(evaluated - analysed, 1),
        "findings": round(time.perf_counter() - evaluated, 1),
    }
    report(f"  {method}: {time.perf_counter() - started:.0f} s")
    return result


def _evaluated(evaluation: Evaluation) -> Result:
    drop, located = evaluation.average_drop, evaluation.localisation
    assert drop is not None
    return {
        "consistency": consistency_by_class(evaluation.consistency),
        "average_increase": float(drop.increase.mean()),
        "average_drop": float(drop.drop.mean()),
        "localisation": dict(sections_of(located)[0].rows[-1]) if located is not None else None,
    }


def _masked(evaluation: Evaluation) -> Result:
    """What is left with some of the features, by one ranking of them."""
    accuracy, curve = evaluation.masked_accuracy, evaluation.masking_curve
    assert accuracy is not None
    assert curve is not None
    points = [(p.share, p.value) for p in curve.of_order("most important first")]
    return {
        "accuracy": [asdict(one) for one in accuracy.sets],
        "bypassed": accuracy.bypassed,
        "curve": [{"share": share, "accuracy": value} for share, value in points],
        "same_from": same_from(points, evaluation.cases),
    }


def consistency_by_class(consistency: Consistency) -> Result:
    """For each kind of map, the correlations of every class and of the predicted class."""
    result: Result = {}
    for kind, name in enumerate(KINDS):
        classes = []
        for c, class_name in enumerate(consistency.class_names):
            found = correlate(*consistency.pair(kind, c), interval=False)
            classes.append({"class": class_name, **_correlation(found)})
        pooled = correlate(*consistency.pair(kind))
        interval = {"low": pooled.interval.low, "high": pooled.interval.high}
        result[name] = {"classes": classes, "predicted": _correlation(pooled) | interval}
    return result


def _correlation(found: Any) -> Result:
    names = ("n", "pearson", "spearman", "chosen", "coefficient", "p", "reason")
    return {name: getattr(found, name) for name in names}


def same_from(points: list[tuple[float, float]], cases: int) -> float | None:
    """The least kept share from which accuracy stays that with all features, as `SAME` says.

    ``points`` are (share, accuracy) over ``cases`` with ascending shares, the last with all
    features.
    """
    least = None
    lost = max(SAME, 1 / cases)
    for share, accuracy in reversed(points):
        if accuracy < points[-1][1] - lost - 1e-9:
            break
        least = share
    return least


def principal_consistency(known: ifa.Analysis, unseen: ifa.Analysis, top: float) -> Result:
    """How the principal features' contributions alone go with the logit, class by class.

    Of each class's own test cases: the sum of k over the class's principal features (chosen on
    training cases) against the logit.
    """
    profiles = unseen.profiles
    assert profiles is not None
    classes = []
    for c, name in enumerate(known.class_names):
        mask: FeatureMask = known.principal_features(c, top, "value", "true")
        own = unseen.labels == c
        sums = profiles[own][:, mask.keep].sum(axis=1)
        found = correlate(sums, unseen.logits[own, c], interval=False)
        classes.append({"class": name, **_correlation(found)})
    return {"classes": classes}


def _found(found: ifa.Findings) -> Result:
    overfitting = found.overfitting
    assert overfitting is not None
    classes = range(len(overfitting.class_names))
    return {
        "principal_share": [found.principal.share(c) for c in classes],
        "overfitting_features": int(overfitting.significant.any(axis=1).sum()),
        "importance_correlation": overfitting.correlation.tolist(),
        "importance_distance": overfitting.distance.tolist(),
        "importance_distance_by_chance": overfitting.distance_by_chance.tolist(),
        "confounder_candidates": int(found.confounders.candidate.any(axis=1).sum()),
        "rare_features": int(found.redundancy.rare.sum()),
        "duplicates": len(sections_of(found.duplicates)[0].rows),
    }


def mean_and_lowest(rows: list[Result], key: str = "coefficient") -> tuple[float, float] | None:
    """Mean and lowest of the classes' numbers; None where there is none."""
    numbers = np.array([row[key] for row in rows], dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.mean()), float(numbers.min())) if numbers.size else None


def without_unknown(value: Any) -> Any:
    """The same for JSON: NaN as null, numpy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: without_unknown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_unknown(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def smaller(dataset: Dataset, cases: int) -> Dataset:
    """For a quick run: few cases, named as such."""
    return replace(dataset.fewer(cases), source=f"{dataset.source}; {cases} cases of each split")
