"""Distances of a class's cases from the others of the class, and their ranks."""

from __future__ import annotations

import numpy as np

from napari_ifa.evaluation.numbers import Floats, Ints

#: Least shrinkage of a covariance, so that features that never vary leave it invertible.
_LEAST_SHRINKAGE = 1e-6


def mean_of_the_others(profiles: Floats, groups: Ints) -> Floats:
    """For each row ``[n, F]`` the mean of the rows of other groups."""
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), profiles.shape[1]))
    np.add.at(sums, number, profiles)
    rest = len(profiles) - counts
    return np.asarray(((profiles.sum(axis=0) - sums) / rest[:, None])[number])


def correlation_distance(profiles: Floats, means: Floats) -> Floats:
    """1 − Pearson's r of each row ``[n, F]`` with its mean ``[n or 1, F]``; NaN if one is flat."""
    one = profiles - profiles.mean(axis=1, keepdims=True)
    other = means - means.mean(axis=1, keepdims=True)
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    flat = size <= 1e-12 * np.abs(profiles).max(axis=1) * np.abs(means).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (one * other).sum(axis=1) / size
    return np.where(flat, np.nan, 1.0 - np.clip(r, -1.0, 1.0))


def mahalanobis_of_the_others(profiles: Floats, groups: Ints) -> Floats:
    """Distance of each row ``[n, F]`` from the mean of the other groups' rows by their covariance.

    The covariance is (1 − a)·S + a·μ·1 with Ledoit and Wolf's a (2004) and μ of all rows; S is that
    of the others, which differs from the whole by as many terms as the group has rows and one, so
    that Woodbury's formula gives each distance from one decomposition. F may exceed n.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, features = profiles.shape
    centred = profiles - profiles.mean(axis=0)
    variance = (centred**2).mean()
    if variance <= 1e-24 * (profiles**2).mean():
        return np.zeros(n)
    a = max(float(ledoit_wolf_shrinkage(centred, assume_centered=True)), _LEAST_SHRINKAGE)
    ridge = a * variance
    # U in the axes of U'U, whose squares are its diagonal; on the smaller side.
    if n <= features:
        squares, rows = np.linalg.eigh(centred @ centred.T)
        squares = np.clip(squares, 0.0, None)
        along = rows * np.sqrt(squares)
    else:
        squares, axes = np.linalg.eigh(centred.T @ centred)
        squares = np.clip(squares, 0.0, None)
        along = centred @ axes
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    result = np.empty(n)
    alone = counts[number] == 1
    if alone.any():
        # u' A⁻¹ u for A = (1 − a)·U'U/(n − 1) + ridge·1, less the term of u itself.
        q = along[alone] ** 2 @ (1 / ((1 - a) * squares / (n - 1) + ridge))
        left_out = (1 - a) * n / (n - 1) ** 2
        result[alone] = n / (n - 1) * np.sqrt(q / (1 - left_out * q))
    for group in np.flatnonzero(counts > 1):
        members = number == group
        result[members] = _of_group(along[members], squares, n, a, ridge)
    return result


def _of_group(along: Floats, squares: Floats, n: int, a: float, ridge: float) -> Floats:
    """The same for the rows ``[m, r]`` of one group together.

    With U_g its rows and s their sum, the others' squared deviations are U'U − W'W, where W is U_g
    with s / √(n − m) below it, and a row u lies u + s / (n − m) from their mean.
    """
    m = len(along)
    rest = n - m
    kernel = (along / ((1 - a) * squares / rest + ridge)) @ along.T
    below = np.vstack([np.eye(m), np.full((1, m), 1 / np.sqrt(rest))])
    apart = np.eye(m) + 1 / rest
    share = (1 - a) / rest
    inside = np.linalg.solve(
        np.eye(m + 1) - share * (below @ kernel @ below.T), below @ kernel @ apart.T
    )
    squared = apart @ kernel @ apart.T + share * (apart @ kernel @ below.T) @ inside
    return np.asarray(np.sqrt(np.clip(np.diag(squared), 0.0, None)))


def rank_p(distance: Floats, groups: Ints) -> Floats:
    """Share of ``distance [n]`` that is at least as large, itself included; NaN stays NaN.

    Of the own group only the case itself counts. Each other group counts once, by the share of its
    cases that lie at least as far: what a case drawn from each would give on average.
    """
    result = np.full(distance.shape, np.nan)
    finite = np.flatnonzero(np.isfinite(distance))
    _, number, counts = np.unique(groups[finite], return_inverse=True, return_counts=True)
    known = distance[finite]
    order = np.argsort(known, kind="stable")
    weight = (1 / counts)[number]
    # Weight of all that lie at least as far, the own group's among them.
    beyond = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)
    total = beyond[np.searchsorted(known[order], known, side="left")]
    own = np.zeros(len(known))
    for group in np.flatnonzero(counts > 1):
        members = np.flatnonzero(number == group)
        at_least = (known[members][None, :] >= known[members][:, None]).sum(axis=1)
        own[members] = at_least / counts[group]
    own[counts[number] == 1] = 1.0
    result[finite] = (1.0 + total - own) / max(len(counts), 1)
    return result
