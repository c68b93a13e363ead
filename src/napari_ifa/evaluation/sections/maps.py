"""What maps are good for, in words: images masked with their CAM, evidence inside lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_ifa.evaluation.figures.measures import average_drop_figure, localisation_figure
from napari_ifa.evaluation.measures.average_drop import AverageDrop
from napari_ifa.evaluation.measures.localisation import CohortLocalisation
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import HIGH, HOW, LEAST_P_TOLD, cells, low_end, said_of
from napari_ifa.evaluation.statistics.certainty import TOO_NARROW

_PATIENTS = "bootstrap over cases, or patients"
_DROP = {
    "class": "the predicted class, which is explained",
    "n": "cases",
    "increase": "average increase: share of cases whose probability of the class is"
    " higher for the image times its usual CAM (0 to 1), 0 to 1",
    "increase_low": low_end("Wilson"),
    "increase_high": HIGH,
    "drop": "average drop: mean of max(0, p - p_masked) / p, 0 to 1",
    "drop_low": low_end("bootstrap over cases"),
    "drop_high": HIGH,
    "drop_interval": HOW,
}
_LOCALISATION = {
    "class": "the class explained: the true one, or the predicted one of a case without a label",
    "n": "cases with a lesion",
    "positive_share": "mean share of the positive class activation inside the lesion, 0 to 1",
    "positive_low": low_end(_PATIENTS),
    "positive_high": HIGH,
    "positive_interval": HOW,
    "s_cam_share": "the same of S-CAM above neutral (tanh β)",
    "s_cam_low": low_end(_PATIENTS),
    "s_cam_high": HIGH,
    "s_cam_interval": HOW,
    "lesion_share": "mean share of the network's field of view that the lesion fills:"
    " what evidence that is spread evenly gives",
    "p": "that the positive share is the lesion's share (Wilcoxon's signed-rank test,"
    f" two-sided; of patients' means where they are known); {LEAST_P_TOLD}",
    "hit_share": "share of cases whose strongest activation lies inside the lesion, 0 to 1",
    "hit_low": low_end("Wilson"),
    "hit_high": HIGH,
    "without_evidence": "cases without any positive activation; they have no share",
}


def average_drop_sections(found: AverageDrop) -> Iterator[Section]:
    """One row for each predicted class."""
    total = found.by_class[-1]
    # With one output there is no other class to predict: cases without it count as well.
    whose = "the predicted class's probability"
    if len(found.class_names) == 1:
        whose = f"the probability of '{found.class_names[0]}', present or not,"
    yield Section(
        key="average_drop",
        title="Average increase and average drop",
        meaning=(
            f"With the image masked by its usual CAM {whose} rises in"
            f" {100 * total.increase:.1f} % of {total.n} cases, and falls by"
            f" {100 * total.drop:.1f} % of itself on average."
        ),
        limits=(
            "A voxel that is masked becomes 0, which after the preprocessing may be an ordinary"
            " value and not black; masked images are unlike those the network was trained on,"
            " and the usual CAM hides how strong the evidence is."
            + " Of so few cases, many without any drop, the drop's interval may be too narrow."
            * total.drop_interval.endswith(TOO_NARROW)
            + said_of(found.groups)
        ),
        rows=tuple(cells(one, _DROP) for one in found.by_class),
        columns=_DROP,
        draw=lambda: average_drop_figure(found),
    )


def localisation_sections(found: CohortLocalisation) -> Iterator[Section]:
    """One row for each class explained."""
    total = found.by_class[-1]
    empty = f" {found.empty} masks without a lesion are left out." if found.empty else ""
    yield Section(
        key="localisation",
        title="Evidence inside the lesion",
        meaning=(
            f"In {total.n} cases with a lesion {_percent(total.positive_share)} of the"
            f" positive class activation and {_percent(total.s_cam_share)} of S-CAM above"
            f" neutral lie inside the lesion, which fills {_percent(total.lesion_share)} of"
            f" the field of view; the strongest activation lies inside it in"
            f" {_percent(total.hit_share)} of them.{empty}"
        ),
        limits=(
            "A map on a coarse feature grid spreads beyond a small lesion, and evidence beside"
            " a lesion may be right; p values are not corrected for the number of rows."
            + said_of(found.groups)
        ),
        rows=tuple(cells(one, _LOCALISATION) for one in found.by_class),
        columns=_LOCALISATION,
        draw=lambda: localisation_figure(found),
    )


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{100 * share:.3g} %"
