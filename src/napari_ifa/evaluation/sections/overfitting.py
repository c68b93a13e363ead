"""Overfitting, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.evaluation.checks.overfitting import Overfitting, WhyAll
from napari_ifa.evaluation.figures.checks import overfitting_figure
from napari_ifa.evaluation.measures.feature_order import kept_number
from napari_ifa.evaluation.numbers import Floats
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import (
    FEATURE,
    at,
    comparison_said,
    described,
    quoted_names,
)
from napari_ifa.wording import counted, listed

#: Most features of a class that the table lists.
_MOST_ROWS = 20


_WHY_ALL: dict[WhyAll | None, str] = {
    None: "",
    "values": " The means are over all cases, since the model answers with values.",
    "no labels": " The means are over all cases, since none has a label to count by; another mix of"
    " classes differs too.",
    "asked": " The means are over all cases whatever their label, as asked for; another mix of"
    " classes differs too.",
}


def overfitting_sections(found: Overfitting) -> Iterable[Section]:
    """The classes, and the features that differ most."""
    return _class_section(found), _feature_section(found)


def _class_section(found: Overfitting) -> Section:
    by_class: dict[str, NDArray[Any]] = {
        "training_cases": found.train_cases,
        "test_cases": found.test_cases,
    }
    if found.grouped != "none":
        by_class["training_patients"] = found.train_patients
        by_class["test_patients"] = found.test_patients
    significant = found.significant.sum(axis=0)
    measured = {
        "least_adjusted_p": np.array([_least(column) for column in found.adjusted.T]),
        "adjusted_p_of_sum": found.adjusted_sum,
        "training_logit": found.train_logit,
        "test_logit": found.test_logit,
        "distance": found.distance,
        "distance_by_chance": found.distance_by_chance,
        "correlation": found.correlation,
    }
    rows = tuple(
        {"class": name, **at(c, by_class), "features": len(found.train)}
        | {"significant": int(significant[c]) if found.tested[c] else None, **at(c, measured)}
        for c, name in enumerate(found.class_names)
        if c != found.compared_class
    )
    over = "its own cases" if found.kind == "true" else "all cases"
    columns = {
        "class": "class",
        "training_cases": "cases of the class in the training analysis",
        "test_cases": "cases of the class in the test analysis",
        "training_patients": "patients among the training cases; a case without one counts"
        " as a patient",
        "test_patients": "the same of the test cases",
        "features": "features tested",
        "significant": f"features whose adjusted p is at most {found.level:g}, where the two"
        " tests together find a difference; empty where that could not be tested",
        "least_adjusted_p": "least p of the class's features (Westfall and Young, over all"
        " features of all classes)",
        "adjusted_p_of_sum": "p of the sum of squared standardised differences over the"
        " class's features, over all classes",
        "training_logit": f"the class's mean logit over {over} in training",
        "test_logit": "the same in test",
        "distance": "sum of |training − test| over the features, by the sum of |training|",
        "distance_by_chance": "what sampling alone would make of that distance on average",
        "correlation": "Pearson's r of the two columns over the features",
    }
    return Section(
        key="overfitting",
        title="Overfitting",
        meaning=_meaning(found),
        limits=(
            "A difference can also be a shift of domain between the two cohorts, such as"
            " another scanner or other patients, or a wider spread in the smaller cohort alone;"
            " and none is no proof that the model generalises: a few cases show large"
            " differences only."
        ),
        rows=rows,
        columns=described(rows, columns),
        draw=lambda: overfitting_figure(found),
    )


def _meaning(found: Overfitting) -> str:
    parts = [_verdict(found)]
    if found.tested.any():
        too_few = [c for c in np.flatnonzero(~found.tested) if c != found.compared_class]
        if too_few:
            names = listed([found.class_names[c] for c in too_few])
            parts.append(f"Too few cases for any p ≤ {found.level:g}: {names}.")
        parts.append(_units(found))
    if logits := _logits(found):
        parts.append(logits)
    parts.append(_WHY_ALL[found.why_all].strip())
    parts.append(comparison_said(found.class_names, found.compared_class).strip())
    parts.append(_in_both(found))
    return " ".join(filter(None, parts))


def _verdict(found: Overfitting) -> str:
    tested = int(found.tested.sum())
    if not found.stored:
        return (
            "Nothing was tested, since the contributions of single cases to these means are not"
            " stored; analyse again with them, and with labels if there are several classes."
        )
    if not tested or found.p_any is None:
        one = "patients" if found.grouped == "both" else "cases"
        return (
            f"No class has enough {one} in both analyses for any p ≤ {found.level:g}, so nothing"
            f" was tested; analyse more {one} (4 and 4 are enough for one class)."
        )
    means = counted(tested * len(found.train), "mean contribution")
    if len(found.class_names) > 1:
        of = "the " if tested == len(found.class_names) else f"{tested} of the "
        means += f" in {of}{len(found.class_names)} classes"
    tests = (
        "Westfall and Young's permutation test: least adjusted p of a feature"
        f" {_least(found.adjusted):.3g}, of a class's sum of squared differences"
        f" {_least(found.adjusted_sum):.3g}; both together p = {found.p_any:.3g}"
    )
    if not found.called:
        return f"No difference between training and test was found in {means} ({tests})."
    number = int(found.significant.sum())
    if number:
        text = f"{number} of {means} differ between training and test ({tests})."
        return f"{text} {_largest(found)}{_as_a_whole(found)}"
    return (
        f"Training and test differ, but no single one of {means} can be named ({tests})."
        f"{_as_a_whole(found)}"
    )


def _largest(found: Overfitting) -> str:
    """The named feature with the largest difference, its direction and its size."""
    size = np.where(found.significant, np.abs(found.train - found.test), -1.0)
    f, c = np.unravel_index(int(size.argmax()), size.shape)
    train, test = float(found.train[f, c]), float(found.test[f, c])
    way = "higher" if train > test else "lower"
    return (
        f"The largest is feature {f} for '{found.class_names[c]}': its mean contribution is"
        f" {abs(train - test):.3g} logit {way} in training ({train:.3g}) than in test"
        f" ({test:.3g})."
    )


def _as_a_whole(found: Overfitting) -> str:
    different = np.flatnonzero(found.significant_sum)
    if not len(different):
        return ""
    names = quoted_names([found.class_names[c] for c in different])
    return f" As a whole the contributions to {names} differ (sum of squared differences)."


def _logits(found: Overfitting) -> str:
    difference = np.abs(found.train_logit - found.test_logit)
    if not np.isfinite(difference).any():
        return ""
    c = int(np.nanargmax(difference))
    one, other = found.train_logit[c], found.test_logit[c]
    over = "its own cases" if found.kind == "true" else "all cases"
    most = ", the most of all classes" if len(found.class_names) > 1 else ""
    return (
        f"The mean logit of '{found.class_names[c]}' over {over} is {one:.3g} in training and"
        f" {other:.3g} in test, {abs(one - other):.3g} apart{most}."
    )


def _units(found: Overfitting) -> str:
    if found.grouped == "both":
        return "Whole patients are dealt out and a patient's cases averaged."
    if found.grouped == "one":
        return (
            "Patients are known in one of the analyses only; in the other p holds only if each"
            " case is of another patient."
        )
    return "No patients are known: p holds only if each case is of another patient."


def _in_both(found: Overfitting) -> str:
    patients = ""
    if found.shared_patients:
        patients = (
            f" {counted(found.shared_patients, 'patient')} in both analyses"
            f" {'hides' if found.shared_patients == 1 else 'hide'} overfitting; leave such"
            " patients out of one."
        )
    if found.shared:
        return (
            f"{counted(found.shared, 'image')} in both analyses hide overfitting; leave such"
            f" images out of one.{patients}"
        )
    if found.shared is None:
        return f"Whether images stand in both analyses is not known from these files.{patients}"
    none = " and no patient" if found.shared_patients == 0 else ""
    return f"No image{none} stands in both analyses.{patients}"


def _feature_section(found: Overfitting) -> Section:
    number = min(_MOST_ROWS, kept_number(found.top, len(found.train)))
    measured = {
        "training": found.train,
        "test": found.test,
        "difference": found.train - found.test,
        "t": found.t,
        "adjusted_p": found.adjusted,
        "significant": found.significant,
    }
    rows = tuple(
        {"class": found.class_names[c], "feature": int(f), **at((f, c), measured)}
        for c in np.flatnonzero(found.tested)
        for f in np.lexsort((-np.abs(found.t[:, c]), found.adjusted[:, c]))[:number]
    )
    return Section(
        key="overfitting_features",
        title="Features that differ most between training and test",
        meaning=(
            f"Of each class the {counted(number, 'feature')} with the least adjusted p,"
            " significant or not."
        ),
        limits="Features that vary together differ together; they are no separate findings.",
        rows=rows,
        columns={
            "class": "class",
            "feature": FEATURE,
            "training": "mean contribution in training, logit",
            "test": "mean contribution in test, logit",
            "difference": "training minus test, logit",
            "t": "difference of the means over its standard error; of patients' means where"
            " patients are known",
            "adjusted_p": "share of deals in which the most different of all features that"
            " differ less than those before it is at least as different (Westfall and Young)",
            "significant": f"adjusted p at most {found.level:g}, where the two tests together"
            " find a difference",
        },
    )


def _least(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")
