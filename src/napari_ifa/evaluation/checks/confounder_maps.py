"""What the first confounder candidates respond to: the map of each one alone, on a few cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.colour import diverging_colours
from napari_ifa.analysis.explain import Explanation, explain
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.cohorts.cohort import Case, Cohort
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.figures.drawing import plain_label
from napari_ifa.evaluation.findings import Findings
from napari_ifa.evaluation.section import Section
from napari_ifa.models.classifier import Classifier
from napari_ifa.volumes.windowing import default_window
from napari_ifa.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How strongly the overlay covers the image where the evidence is strongest, and the power that
#: lifts weaker evidence: one feature alone is a part of what the scale is made for.
_OVERLAY_OPACITY, _OPACITY_POWER = 0.9, 0.45
#: Letters of a case's id above its picture.
_ID_LENGTH = 22


def confounder_maps(
    classifier: Classifier,
    cohort: Cohort,
    findings: Findings,
    *,
    features: int = 3,
    cases: int = 4,
) -> Figure:
    """FS-S-CAM (eq. 5) of the first features in rank, each alone, on cases of the class.

    One row per feature, on the cases in which it contributes most; each image shows the slice where
    it is strongest. The scale is the common one of all features together, by the cases' extremes,
    since a confounder often fills a small part of the image.

    Parameters
    ----------
    features : of the first in rank; fewer where there are fewer.
    cases : of the class, for each feature.

    Raises
    ------
    AnalysisError
        No class has a case in the cohort, so there is nothing to show.
    AnalysisMismatchError
        The findings are of another model.
    """
    from matplotlib.figure import Figure as Mpl

    number = len(findings.confounders.share)
    rows: list[tuple[int, int, list[tuple[Case, Explanation]]]] = []
    for f, c in findings.confounders.ranked[:features]:
        mask = FeatureMask.only(number, [f])
        explained = [
            (case, explain(classifier, case.read(), findings.analysis, c, mask, basis="extremes"))
            for case in candidate_cases(cohort, findings, f, c)[:cases]
        ]
        if explained:
            rows.append((f, c, explained))
    if not rows:
        raise AnalysisError(
            "The cohort has no case of a class with confounder candidates; give the cohort that was"
            " analysed."
        )
    columns = max(len(explained) for _, _, explained in rows)
    figure = Mpl(
        figsize=(2.3 * columns + 2.2, 2.7 * len(rows) + 0.7),
        facecolor="white",
        layout="constrained",
    )
    grid = figure.add_gridspec(len(rows), columns)
    for row, (f, c, explained) in enumerate(rows):
        for column, (case, explanation) in enumerate(explained):
            panel = figure.add_subplot(grid[row, column])
            _draw(panel, explanation)
            panel.set_title(
                f"{_short_id(case.id)}\nk = {explanation.contributions[f]:+.2g} logit", fontsize=9
            )
            if column == 0:
                share = percent(findings.confounders.share[f, c])
                name = plain_label(classifier.class_names[c], 24)
                standing = "candidate" if findings.confounders.candidate[f, c] else "no candidate"
                text = f"feature {f} alone, for\n{name}\n{share}, {standing}"
                panel.set_ylabel(text, fontsize=9.5)
    _colour_bar(figure)
    solid = any(_slices(explanation) > 1 for _, _, shown in rows for _, explanation in shown)
    if solid:
        figure.supxlabel("Each picture is the slice of most evidence.", fontsize=9)
    return figure


def confounder_maps_section(
    classifier: Classifier, cohort: Cohort, findings: Findings, *, features: int = 3, cases: int = 4
) -> Section:
    """`confounder_maps` as a section, with the cases that are shown as its table."""
    figure = confounder_maps(classifier, cohort, findings, features=features, cases=cases)
    shown, candidate = findings.confounders.ranked[:features], findings.confounders.candidate
    rows = tuple(
        {
            "feature": f,
            "class": classifier.class_names[c],
            "case": case.id,
            "candidate": bool(candidate[f, c]),
        }
        for f, c in shown
        for case in candidate_cases(cohort, findings, f, c)[:cases]
    )
    return Section(
        key="confounder_maps",
        title=(
            "Where the first confounder candidates answer"
            if all(candidate[f, c] for f, c in shown)
            else "Where the first features in rank answer"
        ),
        meaning=_which_are_candidates([bool(candidate[f, c]) for f, c in shown])
        + " Each picture shows one feature alone, on the cases in which it contributes most:"
        " evidence outside the organ, on a marker, a border or a device is no sign of a disease.",
        limits="A place inside the organ clears no feature, and a place outside convicts none:"
        " switch the feature off and see whether the answer still holds.",
        rows=rows,
        columns={
            "feature": "number of the feature",
            "class": "the class whose evidence it carries",
            "case": "the case that is shown",
            "candidate": "whether it is a candidate, by its share or by its place",
        },
        draw=lambda: figure,
    )


def candidate_cases(
    cohort: Cohort, findings: Findings, feature: int, class_idx: int
) -> tuple[Case, ...]:
    """The cases of a class, those first in which a feature contributes most, for or against.

    Without any label they are those that the model answers so, and all where it answers with
    values. Where the analysis holds no contributions of single cases, they are in the cohort's
    order.
    """
    analysis = findings.analysis
    size = np.zeros(len(analysis.case_ids))
    if "contribution" in analysis.dataset:
        size = np.abs(analysis.dataset["contribution"].values[:, feature].astype(float))
    labels = analysis.labels if (analysis.labels >= 0).any() else analysis.predicted
    chosen = cases_of_class(labels, len(analysis.class_names))[:, class_idx]
    if analysis.is_regression:
        chosen = np.ones(len(size), bool)
    of_class = {analysis.case_ids[n]: size[n] for n in np.flatnonzero(chosen)}
    members = [case for case in cohort.cases if case.id in of_class]
    return tuple(sorted(members, key=lambda case: -of_class[case.id]))


def _which_are_candidates(candidate: Sequence[bool]) -> str:
    if not any(candidate):
        return "The first in rank; none is a candidate."
    if all(candidate):
        number = len(candidate)
        return "The first candidate." if number == 1 else f"The first {number} candidates."
    number = sum(candidate)
    return (
        f"The first in rank, of which {number} of {len(candidate)}"
        f" {'is a candidate' if number == 1 else 'are candidates'}."
    )


def _draw(panel: Axes, explanation: Explanation) -> None:
    volume, scale = explanation.volume, explanation.scale
    assert scale is not None
    axis = volume.source.axes.index(2)
    index = _strongest_slice(explanation.class_activation.array, axis)
    low, high = default_window(volume).limits
    rows, columns = (s for a, s in enumerate(volume.spacing) if a != axis)
    image = volume.array.take(index, axis)
    panel.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=rows / columns)
    colours = _overlay(explanation.s_cam.array.take(index, axis), scale.neutral)
    panel.imshow(colours, aspect=rows / columns)
    panel.set_xticks([])
    panel.set_yticks([])


def _strongest_slice(activation: NDArray[np.float32], axis: int) -> int:
    other: Sequence[int] = [a for a in range(3) if a != axis]
    return int(np.nan_to_num(np.abs(activation)).max(axis=tuple(other)).argmax())


def _slices(explanation: Explanation) -> int:
    volume = explanation.volume
    return int(volume.array.shape[volume.source.axes.index(2)])


def _overlay(s_cam: NDArray[np.float32] | NDArray[np.float64], neutral: float) -> NDArray[Any]:
    colours = diverging_colours(s_cam, neutral)
    colours[..., 3] = _OVERLAY_OPACITY * colours[..., 3] ** _OPACITY_POWER
    return colours


def _colour_bar(figure: Figure) -> None:
    """The overlay's colours over the dark of an image; both sides run to their own end."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = _overlay(np.linspace(-1, 1, 257), 0.0)
    opaque = colours[:, :3] * colours[:, 3:]
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), ListedColormap(opaque)),
        ax=figure.axes,
        fraction=0.03,
        pad=0.02,
        aspect=25,
        shrink=0.6,
        ticks=[-1, 0, 1],
    )
    bar.ax.set_yticklabels(["strongest\nagainst", "neutral", "strongest\nfor"], fontsize=9)
    bar.ax.axhline(0, color="white", linewidth=1.2)


def _short_id(case_id: str) -> str:
    """The end of an id, which tells cases apart, without the file's ending."""
    text = case_id
    for ending in (".gz", ".nii", ".nrrd", ".mha", ".dcm", ".png", ".jpg", ".tif"):
        text = text.removesuffix(ending)
    text = text if len(text) <= _ID_LENGTH else f"…{text[1 - _ID_LENGTH :]}"
    return plain_label(text, _ID_LENGTH)
