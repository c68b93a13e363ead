"""Where the evidence for a class lies, against the lesion masks of the cases that have one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.explanation import Explanation
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.errors import ExplanationError
from napari_ifa.evaluation.section import Row, Section
from napari_ifa.evaluation.statistics.certainty import LEAST_P_TOLD, bounded_p, interval_of_mean
from napari_ifa.evaluation.statistics.independence import Groups, of_some, said_of, summed
from napari_ifa.evaluation.statistics.shares import of_share
from napari_ifa.volumes.volume import Volume

#: Largest distance between two grids' corners that still counts as the same grid, in mm.
_SAME_GRID_MM = 0.01


@dataclass(frozen=True)
class Localisation:
    """Where the evidence for a class lies, against a lesion mask.

    Attributes
    ----------
    positive_share : share of the positive class activation that lies inside the mask; NaN where
        no activation is positive.
    s_cam_share : the same for S-CAM above neutral (tanh β); NaN without a scale.
    hit : whether the strongest activation lies inside the mask (the pointing game).
    lesion_share : share of the network's field of view that the mask fills: what evidence that
        is spread evenly would give.
    """

    positive_share: float
    s_cam_share: float
    hit: bool
    lesion_share: float


def localise(explanation: Explanation, mask: Volume) -> Localisation:
    """Compare an explanation with a lesion mask on the same grid.

    Raises
    ------
    ExplanationError
        Where mask and image lie on different grids.
    """
    lesion = on_image_grid(mask, explanation.volume)
    return localised(explanation.class_activation.array, lesion, explanation.scale)


def on_image_grid(mask: Volume, image: Volume) -> NDArray[np.bool_]:
    """Where a lesion mask is above 0, ``[I, P, L]``.

    Raises
    ------
    ExplanationError
        Where mask and image lie on different grids.
    """
    grid = image.shape[:3]
    if mask.shape != grid or np.abs(mask.affine - image.affine).max() > _SAME_GRID_MM:
        raise ExplanationError(
            f"The lesion mask (shape {mask.shape}) does not lie on the image's grid (shape"
            f" {image.shape}); use a mask drawn on this image."
        )
    lesion: NDArray[np.bool_] = mask.array > 0
    return lesion


def localised(
    activation: NDArray[np.float32], lesion: NDArray[np.bool_], scale: CommonScale | None
) -> Localisation:
    """Compare a class activation ``[I, P, L]``, NaN outside the field of view, with a lesion."""
    strongest = np.unravel_index(int(np.nanargmax(activation)), activation.shape)
    return Localisation(
        positive_share=_share_inside(activation, lesion),
        s_cam_share=(
            _share_inside(scale(activation) - scale.neutral, lesion)
            if scale is not None
            else float("nan")
        ),
        hit=bool(lesion[strongest]),
        lesion_share=float(lesion[np.isfinite(activation)].mean()),
    )


def _share_inside(evidence: NDArray[np.floating], lesion: NDArray[np.bool_]) -> float:
    positive = np.clip(np.nan_to_num(evidence.astype(float)), 0.0, None)
    total = positive.sum()
    return float(positive[lesion].sum() / total) if total > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class CohortLocalisation:
    """The localisation of every case that has a lesion.

    Attributes
    ----------
    found : one per case with a lesion.
    classes : the class explained in each, the true one or, without a label, the predicted one.
    empty : cases whose mask holds no lesion.
    class_names : one per class.
    groups : one number per case in ``found``, equal for cases of one patient; None where none are
        known.
    """

    found: tuple[Localisation, ...]
    classes: tuple[int, ...]
    empty: int
    class_names: tuple[str, ...]
    groups: Groups = None

    def __repr__(self) -> str:
        return f"CohortLocalisation: {self.section().meaning}"

    def of_class(self, class_idx: int | None) -> tuple[Localisation, ...]:
        """The cases explained for one class, or all."""
        pairs = zip(self.found, self.classes, strict=True)
        return tuple(one for one, c in pairs if class_idx is None or c == class_idx)

    def section(self) -> Section:
        """The table and figure."""
        from napari_ifa.evaluation.figures import localisation_figure

        present = sorted(set(self.classes))
        groups: list[tuple[str, int | None]] = [(self.class_names[c], c) for c in present]
        if len(groups) != 1:
            groups.append(("all", None))
        rows = tuple(self._row(name, c) for name, c in groups)
        total = rows[-1]
        empty = f" {self.empty} masks without a lesion are left out." if self.empty else ""
        return Section(
            key="localisation",
            title="Evidence inside the lesion",
            meaning=(
                f"In {total['n']} cases with a lesion {_percent(total['positive_share'])} of the"
                f" positive class activation and {_percent(total['s_cam_share'])} of S-CAM above"
                f" neutral lie inside the lesion, which fills {_percent(total['lesion_share'])} of"
                f" the field of view; the strongest activation lies inside it in"
                f" {_percent(total['hit_share'])} of them.{empty}"
            ),
            limits=(
                "A map on a coarse feature grid spreads beyond a small lesion, and evidence beside"
                " a lesion may be right; p values are not corrected for the number of rows."
                + said_of(self.groups)
            ),
            rows=rows,
            columns=_COLUMNS,
            draw=lambda: localisation_figure(self),
        )

    def _row(self, name: str, class_idx: int | None) -> Row:
        found = self.of_class(class_idx)
        chosen = np.array([class_idx is None or c == class_idx for c in self.classes])
        groups = of_some(self.groups, chosen)
        positive = np.array([one.positive_share for one in found])
        known = np.isfinite(positive)
        s_cam = np.array([one.s_cam_share for one in found])
        on_scale = np.isfinite(s_cam)
        lesion = np.array([one.lesion_share for one in found])
        hits = np.array([one.hit for one in found])
        positive_interval = interval_of_mean(positive[known], of_some(groups, known))
        s_cam_interval = interval_of_mean(s_cam[on_scale], of_some(groups, on_scale))
        hit = of_share(hits, groups)
        return {
            "class": name,
            "n": len(found),
            "positive_share": _mean(positive),
            "positive_low": positive_interval.low,
            "positive_high": positive_interval.high,
            "positive_interval": positive_interval.method,
            "s_cam_share": _mean(s_cam),
            "s_cam_low": s_cam_interval.low,
            "s_cam_high": s_cam_interval.high,
            "s_cam_interval": s_cam_interval.method,
            "lesion_share": float(lesion.mean()),
            "p": _signed_rank_p(positive[known] - lesion[known], of_some(groups, known)),
            "hit_share": float(hits.mean()),
            "hit_low": hit.low,
            "hit_high": hit.high,
            "without_evidence": int((~known).sum()),
        }


_COLUMNS = {
    "class": "the class explained: the true one, or the predicted one of a case without a label",
    "n": "cases with a lesion",
    "positive_share": "mean share of the positive class activation inside the lesion, 0 to 1",
    "positive_low": "lower end of its 95 % interval (bootstrap over cases, or patients)",
    "positive_high": "upper end",
    "positive_interval": "how the interval was found, or why there is none",
    "s_cam_share": "the same of S-CAM above neutral (tanh β)",
    "s_cam_low": "lower end of its 95 % interval (bootstrap over cases, or patients)",
    "s_cam_high": "upper end",
    "s_cam_interval": "how the interval was found, or why there is none",
    "lesion_share": "mean share of the network's field of view that the lesion fills: what evidence"
    " that is spread evenly gives",
    "p": "that the positive share is the lesion's share (Wilcoxon's signed-rank test, two-sided; of"
    f" patients' means where they are known); {LEAST_P_TOLD}",
    "hit_share": "share of cases whose strongest activation lies inside the lesion, 0 to 1",
    "hit_low": "lower end of its 95 % interval (Wilson)",
    "hit_high": "upper end",
    "without_evidence": "cases without any positive activation; they have no share",
}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _signed_rank_p(difference: NDArray[np.float64], groups: Groups) -> float:
    """Of cases or, of groups, of their means."""
    from scipy.stats import wilcoxon

    difference = summed(difference, groups) / summed(np.ones(len(difference)), groups)
    if not difference.any():
        return float("nan")
    return bounded_p(float(wilcoxon(difference).pvalue))


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{100 * share:.3g} %"
