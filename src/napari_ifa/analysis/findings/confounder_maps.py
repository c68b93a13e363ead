"""What the first confounder candidates respond to: the map of each one alone, on a few cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.cohorts.cohort import Case, Cohort
from napari_ifa.analysis.colour import diverging_colours
from napari_ifa.analysis.explain import Explanation, explain
from napari_ifa.analysis.findings.findings import Findings
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.section import Section
from napari_ifa.errors import AnalysisError
from napari_ifa.models.classifier import Classifier
from napari_ifa.volumes.windowing import default_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How strongly the overlay covers the image where the evidence is strongest.
_OVERLAY_OPACITY = 0.65


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
    features : of the first in rank by robust z; fewer where there are fewer.
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
    rows: list[tuple[int, int, list[Explanation]]] = []
    for f, c in findings.confounders.ranked[:features]:
        mask = FeatureMask.only(number, [f])
        explained = [
            explain(classifier, case.read(), findings.analysis, c, mask, basis="extremes")
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
        figsize=(2.3 * columns + 1.4, 2.5 * len(rows) + 0.7),
        facecolor="white",
        layout="constrained",
    )
    grid = figure.add_gridspec(len(rows), columns)
    for row, (f, c, explained) in enumerate(rows):
        for column, explanation in enumerate(explained):
            panel = figure.add_subplot(grid[row, column])
            _draw(panel, explanation)
            panel.set_title(f"k = {explanation.contributions[f]:+.2g} logit", fontsize=9)
            if column == 0:
                share = 100 * findings.confounders.share[f, c]
                text = f"feature {f} alone, for\n{classifier.class_names[c]}\n({share:.0f} %)"
                panel.set_ylabel(text, fontsize=9.5)
    figure.supxlabel(
        "red: this feature speaks for the class there; blue: against; the slice of most evidence",
        fontsize=9,
    )
    return figure


def confounder_maps_section(
    classifier: Classifier, cohort: Cohort, findings: Findings, *, features: int = 3, cases: int = 4
) -> Section:
    """`confounder_maps` as a section, with the cases that are shown as its table."""
    figure = confounder_maps(classifier, cohort, findings, features=features, cases=cases)
    rows = tuple(
        {"feature": f, "class": classifier.class_names[c], "case": case.id}
        for f, c in findings.confounders.ranked[:features]
        for case in candidate_cases(cohort, findings, f, c)[:cases]
    )
    return Section(
        key="confounder_maps",
        title="Where the first confounder candidates answer",
        meaning="Each picture shows one feature alone, on the cases in which it contributes most:"
        " evidence outside the organ, on a marker, a border or a device is no sign of a disease.",
        limits="A place inside the organ clears no feature, and a place outside convicts none:"
        " switch the feature off and see whether the answer still holds.",
        rows=rows,
        columns={
            "feature": "number of the feature",
            "class": "the class it speaks for",
            "case": "the case that is shown",
        },
        draw=lambda: figure,
    )


def candidate_cases(
    cohort: Cohort, findings: Findings, feature: int, class_idx: int
) -> tuple[Case, ...]:
    """The cases of a class, those first in which a feature contributes most, for or against.

    Where the analysis holds no contributions of single cases, they are in the cohort's order.
    """
    data = findings.analysis.dataset
    label = np.asarray(data["label"].values)
    if data.sizes["class"] == 1:
        label = np.zeros_like(label)
    size = np.zeros(label.size)
    if "contribution" in data:
        size = np.abs(data["contribution"].values[:, feature].astype(float))
    ids = [str(name) for name in data["case"].values]
    of_class = {ids[n]: size[n] for n in np.flatnonzero(label == class_idx)}
    members = [case for case in cohort.cases if case.id in of_class]
    return tuple(sorted(members, key=lambda case: -of_class[case.id]))


def _draw(panel: Axes, explanation: Explanation) -> None:
    volume, scale = explanation.volume, explanation.scale
    assert scale is not None
    axis = volume.source.axes.index(2)
    index = _strongest_slice(explanation.class_activation.array, axis)
    low, high = default_window(volume).limits
    rows, columns = (s for a, s in enumerate(volume.spacing) if a != axis)
    image = volume.array.take(index, axis)
    panel.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=rows / columns)
    colours = diverging_colours(explanation.s_cam.array.take(index, axis), scale.neutral)
    colours[..., 3] *= _OVERLAY_OPACITY
    panel.imshow(colours, aspect=rows / columns)
    panel.set_xticks([])
    panel.set_yticks([])


def _strongest_slice(activation: NDArray[np.float32], axis: int) -> int:
    other: Sequence[int] = [a for a in range(3) if a != axis]
    return int(np.nan_to_num(np.abs(activation)).max(axis=tuple(other)).argmax())
