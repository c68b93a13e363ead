"""Principal features and confounder candidates, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.importance import Ranking
from napari_ifa.evaluation.checks.confounders import PLACED_SHARE, STEADIER, Confounders
from napari_ifa.evaluation.checks.principal import PrincipalFeatures
from napari_ifa.evaluation.figures.checks import confounder_figure, principal_figure
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import FEATURE, OVER, at, comparison_said, described
from napari_ifa.wording import counted, listed, percent

#: Rows of the table, the candidates always among them.
_ROWS = 20


def principal_sections(found: PrincipalFeatures) -> Iterator[Section]:
    """One table of every class by both rankings."""
    rows = tuple(
        _principal_row(found, c, by)
        for c in range(len(found.class_names))
        if c != found.compared_class
        for by in found.masks
        if by == "value" or found.masks[by][c] is not None
    )
    yield Section(
        key="principal_features",
        title="Principal features",
        meaning=_principal_meaning(found),
        limits=(
            "A large mean contribution says that the answer rests on a feature, not that"
            " the feature is right to rest on; what it responds to shows in its map alone."
        ),
        rows=rows,
        columns={
            "class": "class",
            "by": "ranked by value, or by contrast: the column minus the mean over classes",
            "cases": "cases that the column is the mean of",
            "number": f"principal features, the top {100 * found.top:g} %",
            "features": "their numbers, from 0, the first in rank first",
            "sum": "their contributions together, logit",
            "column_total": "contributions of all features together, logit",
            "share_of_total": "sum over column total; it may exceed 1, since other features"
            " speak against the class, and does not exist where the total is not positive",
            "share_of_positive": "their share of all that speaks for the class",
            "share_of_absolute": "their share of all contributions regardless of sign",
        },
        draw=lambda: principal_figure(found),
    )


def _principal_meaning(found: PrincipalFeatures) -> str:
    shares = np.array([found.share(c) for c in range(len(found.class_names))])
    masks = found.masks["value"]
    missing = [
        name
        for c, (name, mask) in enumerate(zip(found.class_names, masks, strict=True))
        if mask is None and c != found.compared_class
    ]
    if not np.isfinite(shares).any():
        return "No class has a feature that speaks for it, so there are no principal features."
    mask = next(m for m in masks if m is not None)
    text = (
        f"The top {100 * found.top:g} % of the features ({mask.count} of {mask.keep.size}) make"
        f" up {percent(np.nanmin(shares))} to {percent(np.nanmax(shares))} of what speaks for a"
        f" class, in the mean over {OVER[found.kind]}."
    )
    text += f" No case counts for {listed(missing)}." if missing else ""
    return text + comparison_said(found.class_names, found.compared_class)


def _principal_row(found: PrincipalFeatures, class_idx: int, by: Ranking) -> dict[str, object]:
    mask = found.masks[by][class_idx]
    column = found.importance[:, class_idx]
    size = np.abs(column).sum()
    kept = column[mask.keep] if mask is not None else np.array([np.nan])
    return {
        "class": found.class_names[class_idx],
        "by": by,
        "cases": int(found.cases[class_idx]),
        "number": mask.count if mask is not None else None,
        "features": " ".join(map(str, found.ranked(class_idx, by))),
        "sum": float(kept.sum()),
        "column_total": float(column.sum()),
        "share_of_total": found.share_of_total(class_idx, by),
        "share_of_positive": found.share(class_idx, by),
        "share_of_absolute": float(np.abs(kept).sum() / size) if size > 0 else float("nan"),
    }


def confounder_sections(found: Confounders) -> Iterator[Section]:
    """The largest shares, every candidate among them."""
    number = max(_ROWS, int(found.candidate.sum()))
    of_class = found.share[:, np.isfinite(found.share).all(axis=0)]
    by_pair: dict[str, NDArray[Any]] = {
        "importance": found.importance,
        "share": found.share,
        "robust_z": found.z,
        "adjusted_p": found.adjusted,
        "candidate_by_share": found.by_share,
    }
    if np.isfinite(found.spread).any():
        by_pair["spread_of_place"] = found.spread
        by_pair["steadier"] = found.steadier
        by_pair["adjusted_p_of_place"] = found.adjusted_place
        by_pair["candidate_by_place"] = found.by_place
    by_pair |= {"candidate": found.candidate, "frequency": found.frequency}
    rows = tuple(
        {"rank": rank + 1, "feature": f, "class": found.class_names[c], **at((f, c), by_pair)}
        | {"mean_share_over_classes": float(of_class[f].mean())}
        for rank, (f, c) in enumerate(found.ranked[:number])
    )
    every = {
        "rank": "candidates first, then by share, over all features of all classes",
        "feature": FEATURE,
        "class": "class whose evidence it carries",
        "importance": "mean contribution, logit; negative speaks against the class",
        "share": "of the sum of |mean contribution| over the features",
        "robust_z": "distance of the share's logarithm from the class's median, in robust"
        " standard deviations",
        "adjusted_p": "chance of so large a z anywhere in the table if shares were log-normal"
        " (Bonferroni over features and classes)",
        "candidate_by_share": f"adjusted p at most {found.level:g}",
        "spread_of_place": "standard distance of the centre of the feature's activation from"
        " its mean over the class's cases, as a share of the field of view",
        "steadier": "how many times less that is than in any other class (than the class's"
        " median feature where it is active in no other)",
        "adjusted_p_of_place": "chance of so large a ratio among all features of at least"
        f" {PLACED_SHARE:g} times the mean share, by its robust z among the class's features"
        " (Bonferroni); empty for the others",
        "candidate_by_place": f"that p at most {found.level:g}, and at least {STEADIER:g} times"
        " steadier",
        "candidate": "by share or by place",
        "frequency": "share of the cases in which the feature speaks for the class",
        "mean_share_over_classes": "the feature's share in the mean over the classes",
    }
    yield Section(
        key="confounders",
        title="Confounder candidates",
        meaning=_confounder_meaning(found),
        limits=(
            "A candidate is a place to look, no proof: a true sign of the class can carry"
            " as much or stand at one place, and a confounder spread over many features"
            " carries little in each."
        ),
        rows=rows,
        columns=described(rows, every),
        draw=lambda: confounder_figure(found),
    )


def _confounder_meaning(found: Confounders) -> str:
    if not found.ranked:
        return "No class has a case that counts, so no feature has a share to judge."
    by_share, by_place = int(found.by_share.sum()), int(found.by_place.sum())
    over = OVER[found.kind]
    shares = counted(int(np.isfinite(found.share).sum()), "share")
    f, c = found.ranked[0]
    first = (
        f"the first in rank, feature {f}, makes up {percent(found.share[f, c])} of the"
        f" evidence about '{found.class_names[c]}'"
    )
    placed = bool(np.isfinite(found.steadier).any())
    if found.steadier[f, c] >= 1:
        first += f", and its place varies {found.steadier[f, c]:.2g} times less than in others"
    elif found.steadier[f, c] > 0:
        first += f", and its place varies {1 / found.steadier[f, c]:.2g} times more than in one"
    unknown = "" if placed else f" {found.unplaced}"
    if not by_share and not by_place:
        return (
            f"Of {shares}, in the mean over {over}, none stands apart from heavy-tailed others"
            f"{', and no much used feature has a steady place in one class' * placed}; {first}."
            f"{unknown}"
        )
    apart = [
        text
        for number, text in (
            (by_share, f"{by_share} {'stands' if by_share == 1 else 'stand'} apart by size"),
            (by_place, f"{by_place} {'is' if by_place == 1 else 'are'} at a steady place"),
        )
        if number
    ]
    return (
        f"Of {shares}, in the mean over {over}, {' and '.join(apart)}: {first}; look at the map"
        f" of each such feature alone.{unknown}"
    )
