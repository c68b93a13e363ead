"""Lesions: irregular blobs at random places in the brain, brighter or darker than its tissues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.making.anatomy import Head
from sample_data.making.shapes import Field, Points, SmoothNoise

CLASS_NAMES = ("healthy", "bright lesion", "dark lesion")


@dataclass(frozen=True)
class Lesion:
    """One lesion in the head frame.

    centre and radii in mm; signal in the units of the tissues; strength 1 replaces the tissue,
    less lets it shine through; ragged: depth of the border's irregularity in mm.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    signal: float
    strength: float
    ragged: float
    seed: int

    def paint(self, signal: Field, points: Points, head: Head) -> tuple[Field, Field]:
        """The signal with the lesion in it and the lesion's share of each point, both ``[N]``.

        The border is about 3 mm soft. Nothing is painted outside the brain.
        """
        scaled = (points - np.asarray(self.centre, np.float32)) / np.asarray(self.radii, np.float32)
        distance = (np.linalg.norm(scaled, axis=-1) - 1) * min(self.radii)
        near = np.flatnonzero(distance < 4 * self.ragged + 2)
        noise = SmoothNoise(np.random.default_rng(self.seed), 16.0)
        border = distance[near] + self.ragged * noise(points[near])
        share = np.zeros(len(points), np.float32)
        share[near] = np.clip(0.5 - border / 3.0, 0, 1)
        share[near] *= np.clip(-head.brain(points[near]) / 2.0, 0, 1)
        weight = self.strength * share
        return np.asarray(signal + weight * (self.signal - signal), np.float32), share


def draw_lesion(
    rng: np.random.Generator, head: Head, label: int, *, strength: float = 1.0
) -> Lesion | None:
    """A random lesion of class ``label`` (an index into CLASS_NAMES), None for a healthy head.

    Its centre lies at least 70 % of its radius deep in the brain and clear of the ventricles.
    """
    if label == 0:
        return None
    radii = rng.uniform(15.0, 23.0) * rng.uniform(0.85, 1.18, 3)
    radius = float(radii.min())
    candidates = rng.uniform((-60, -78, -32), (60, 74, 60), (400, 3)).astype(np.float32)
    deep = (head.brain(candidates) < -0.7 * radius) & (candidates[:, 2] > -30)
    clear = (head.ventricles(candidates) > 0.5 * radius) & (np.abs(candidates[:, 0]) > 6)
    centre = candidates[np.flatnonzero(deep & clear)[0]]
    signal = rng.uniform(165.0, 190.0) if label == 1 else rng.uniform(8.0, 18.0)
    return Lesion(
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        radii=(float(radii[0]), float(radii[1]), float(radii[2])),
        signal=float(signal),
        strength=strength,
        ragged=float(rng.uniform(1.2, 2.6)),
        seed=int(rng.integers(2**31)),
    )
