"""Average increase and average drop: what a model answers to an image masked with its own map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.evaluation.section import Row, Section
from napari_ifa.evaluation.statistics.certainty import TOO_NARROW, interval_of_mean
from napari_ifa.evaluation.statistics.independence import Groups, of_some, said_of
from napari_ifa.evaluation.statistics.shares import of_share

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import CutNetwork


def masked_input_logits(
    cut: CutNetwork, x: Tensor, maps: Tensor, classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Logits ``[B, C]`` of the images ``x [B, C, *spatial]``, each times its usual CAM.

    The usual CAM of ``classes [B]`` is the class activation on the image grid (linear
    interpolation), ReLU, and min-max over the image, so from 0 to 1; a constant one masks all.

    ``maps [B, C, *grid]`` are the class activations of the cut network's last run, of ``x``.
    """
    import torch

    from napari_ifa.cam.interpolation import resized
    from napari_ifa.cam.memory import in_blocks

    rows = torch.arange(len(x), device=x.device)
    chosen = torch.as_tensor(classes, device=x.device)
    with torch.no_grad():
        own = maps[rows, chosen][:, None].float()
        usual = resized(own, tuple(x.shape[2:])).relu_()
        axes = tuple(range(2, usual.ndim))
        usual -= usual.amin(axes, keepdim=True)
        usual /= usual.amax(axes, keepdim=True).clamp_min(torch.finfo(usual.dtype).tiny)
        masked = x * usual
    at_once = 1 if cut.mixes_cases(x) else len(x)
    blocks = in_blocks(
        len(x), at_once, lambda block: cut.scores(masked[block], rows[block]), what="cases"
    )
    logits: NDArray[np.float64] = torch.cat([found for _, found in blocks]).double().cpu().numpy()
    return logits


@dataclass(frozen=True, eq=False)
class AverageDrop:
    """Probabilities of the predicted class, of the image and of the image times its usual CAM.

    Average increase and drop of Chattopadhay et al. (Grad CAM++, WACV 2018).

    Attributes
    ----------
    probability, masked : ``[N]``.
    predicted : ``[N]`` class numbers.
    class_names : one per class.
    groups : ``[N]``, equal for cases of one patient; None where none are known.
    """

    probability: NDArray[np.float64]
    masked: NDArray[np.float64]
    predicted: NDArray[np.int64]
    class_names: tuple[str, ...]
    groups: Groups = None

    def __repr__(self) -> str:
        return f"AverageDrop: {self.section().meaning}"

    @property
    def increase(self) -> NDArray[np.bool_]:
        """Which cases gain, ``[N]``: p_masked > p."""
        result: NDArray[np.bool_] = self.masked > self.probability
        return result

    @property
    def drop(self) -> NDArray[np.float64]:
        """max(0, p - p_masked) / p of each case, ``[N]``; 0 where p itself is 0."""
        lost = np.clip(self.probability - self.masked, 0.0, None)
        return np.divide(lost, self.probability, out=np.zeros_like(lost), where=lost > 0)

    def section(self) -> Section:
        """The table and figure."""
        from napari_ifa.evaluation.figures import average_drop_figure

        groups = [(self.class_names[c], self.predicted == c) for c in np.unique(self.predicted)]
        if len(groups) != 1:
            groups.append(("all", np.ones(len(self.predicted), bool)))
        rows = tuple(self._row(name, counted) for name, counted in groups)
        total = rows[-1]
        # With one output there is no other class to predict: cases without it count as well.
        whose = "the predicted class's probability"
        if len(self.class_names) == 1:
            whose = f"the probability of '{self.class_names[0]}', present or not,"
        return Section(
            key="average_drop",
            title="Average increase and average drop",
            meaning=(
                f"With the image masked by its usual CAM {whose} rises in"
                f" {100 * total['increase']:.1f} % of {total['n']} cases, and falls by"
                f" {100 * total['drop']:.1f} % of itself on average."
            ),
            limits=(
                "A voxel that is masked becomes 0, which after the preprocessing may be an ordinary"
                " value and not black; masked images are unlike those the network was trained on,"
                " and the usual CAM hides how strong the evidence is."
                + " Of so few cases, many without any drop, the drop's interval may be too narrow."
                * str(total["drop_interval"]).endswith(TOO_NARROW)
                + said_of(self.groups)
            ),
            rows=rows,
            columns=_COLUMNS,
            draw=lambda: average_drop_figure(self),
        )

    def _row(self, name: str, counted: NDArray[np.bool_]) -> Row:
        increase, drop = self.increase[counted], self.drop[counted]
        groups = of_some(self.groups, counted)
        share, mean = of_share(increase, groups), interval_of_mean(drop, groups)
        return {
            "class": name,
            "n": len(increase),
            "increase": float(increase.mean()),
            "increase_low": share.low,
            "increase_high": share.high,
            "drop": float(drop.mean()),
            "drop_low": mean.low,
            "drop_high": mean.high,
            "drop_interval": mean.method,
        }


_COLUMNS = {
    "class": "the predicted class, which is explained",
    "n": "cases",
    "increase": "average increase: share of cases whose probability of the class is higher for the"
    " image times its usual CAM (0 to 1), 0 to 1",
    "increase_low": "lower end of its 95 % interval (Wilson)",
    "increase_high": "upper end",
    "drop": "average drop: mean of max(0, p - p_masked) / p, 0 to 1",
    "drop_low": "lower end of its 95 % interval (bootstrap over cases)",
    "drop_high": "upper end",
    "drop_interval": "how the interval was found, or why there is none",
}
