"""Where the evidence for a class lies, against the lesion masks of the cases that have one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.explanation import Explanation
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.errors import ExplanationError
from napari_ifa.evaluation.numbers import Bools, Floats, Numbers
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.statistics.certainty import bounded_p, interval_of_mean
from napari_ifa.evaluation.statistics.independence import Groups, of_some, summed
from napari_ifa.evaluation.statistics.intervals import Interval
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


def on_image_grid(mask: Volume, image: Volume) -> Bools:
    """Where a lesion mask is above 0, ``[I, P, L]``.

    Raises
    ------
    ExplanationError
        Where mask and image lie on different grids.
    """
    grid = image.shape[:3]
    if mask.shape != grid or np.abs(mask.affine - image.affine).max() > _SAME_GRID_MM:
        raise ExplanationError(EvaluationProblem.MASK_OFF_GRID, mask=mask.shape, image=image.shape)
    return np.asarray(mask.array > 0)


def localised(
    activation: NDArray[np.float32], lesion: Bools, scale: CommonScale | None
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


def _share_inside(evidence: NDArray[np.floating], lesion: Bools) -> float:
    positive = np.clip(np.nan_to_num(evidence.astype(float)), 0.0, None)
    total = positive.sum()
    return float(positive[lesion].sum() / total) if total > 0 else float("nan")


@dataclass(frozen=True)
class ClassLocalisation:
    """The localisation over the cases explained for one class, or for any.

    Attributes
    ----------
    name : of the class, or "all".
    n : cases with a lesion.
    positive_share, positive : mean share of the positive class activation inside the lesion, and
        its 95 % interval.
    s_cam_share, s_cam : the same of S-CAM above neutral.
    lesion_share : mean share of the field of view that the lesion fills.
    p : that the positive share is the lesion's share (Wilcoxon's signed-rank test).
    hit_share, hit : share of cases whose strongest activation lies inside, and its interval.
    without_evidence : cases without any positive activation; they have no share.
    """

    name: str
    n: int
    positive_share: float
    positive: Interval
    s_cam_share: float
    s_cam: Interval
    lesion_share: float
    p: float
    hit_share: float
    hit: Interval
    without_evidence: int


@dataclass(frozen=True, eq=False, repr=False)
class CohortLocalisation(Numbers):
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

    @property
    def by_class(self) -> tuple[ClassLocalisation, ...]:
        """One of each class explained; of all cases at the end where there are several."""
        groups: list[tuple[str, int | None]] = [
            (self.class_names[c], c) for c in sorted(set(self.classes))
        ]
        if len(groups) != 1:
            groups.append(("all", None))
        return tuple(self._of(name, c) for name, c in groups)

    def _of(self, name: str, class_idx: int | None) -> ClassLocalisation:
        chosen = np.array([class_idx is None or c == class_idx for c in self.classes])
        found = [one for one, own in zip(self.found, chosen, strict=True) if own]
        groups = of_some(self.groups, chosen)
        positive = np.array([one.positive_share for one in found])
        known = np.isfinite(positive)
        s_cam = np.array([one.s_cam_share for one in found])
        on_scale = np.isfinite(s_cam)
        lesion = np.array([one.lesion_share for one in found])
        hits = np.array([one.hit for one in found])
        return ClassLocalisation(
            name=name,
            n=len(found),
            positive_share=_mean(positive),
            positive=interval_of_mean(positive[known], of_some(groups, known)),
            s_cam_share=_mean(s_cam),
            s_cam=interval_of_mean(s_cam[on_scale], of_some(groups, on_scale)),
            lesion_share=float(lesion.mean()),
            p=_signed_rank_p(positive[known] - lesion[known], of_some(groups, known)),
            hit_share=float(hits.mean()),
            hit=of_share(hits, groups),
            without_evidence=int((~known).sum()),
        )


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _signed_rank_p(difference: Floats, groups: Groups) -> float:
    """Of cases or, of groups, of their means."""
    from scipy.stats import wilcoxon

    difference = summed(difference, groups) / summed(np.ones(len(difference)), groups)
    if not difference.any():
        return float("nan")
    return bounded_p(float(wilcoxon(difference).pvalue))
