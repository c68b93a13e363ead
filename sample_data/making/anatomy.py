"""A T1-weighted head: from a subject's traits to the signal at any point in the head.

Head frame: mm, x to the right, y anterior, z superior, origin in the middle of the cerebrum.
The anatomy is a cartoon with the proportions of an adult head: scalp fat, skull with marrow,
folded cortex, white matter, deep nuclei, ventricles, cerebellum, brain stem, orbits, sinuses, neck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_data.making.shapes import Field, Points, SmoothNoise, capsule, ellipsoid, smooth_union

_TISSUES = {
    "air": 0.0,
    "bone": 12.0,
    "csf": 26.0,
    "vitreous": 24.0,
    "skin": 66.0,
    "muscle": 56.0,
    "marrow": 58.0,
    "fat": 128.0,
    "grey": 72.0,
    "deep_grey": 84.0,
    "white": 106.0,
}

#: Inverse radii, per mm, of an ellipsoid that no part of a head between nose and neck leaves.
_REACH = np.array([1 / 108, 1 / 128, 1 / 140], np.float32)


@dataclass(frozen=True)
class Subject:
    """What makes one head differ from another.

    size: scale along (x, y, z). rotation: head in the image, degrees about (x, y, z).
    offset: mm. ventricles: scale of their radii. folds: wavelength of the cortical folding, mm.
    signal: T1 signal per tissue, arbitrary units. seed: of the random fields.
    """

    size: tuple[float, float, float]
    rotation: tuple[float, float, float]
    offset: tuple[float, float, float]
    ventricles: float
    folds: float
    signal: dict[str, float]
    seed: int


def draw_subject(rng: np.random.Generator) -> Subject:
    """A random adult: sizes vary by about 4 %, pose by 4 degrees, contrast by 5 %."""
    common = rng.normal(1.0, 0.03)
    size = common * rng.normal(1.0, 0.018, 3)
    rotation = np.clip(rng.normal(0.0, 3.5, 3), -8, 8)
    offset = np.clip(rng.normal(0.0, (2.5, 3.0, 2.5)), -6, 6)
    return Subject(
        size=(float(size[0]), float(size[1]), float(size[2])),
        rotation=(float(rotation[0]), float(rotation[1]), float(rotation[2])),
        offset=(float(offset[0]), float(offset[1]), float(offset[2])),
        ventricles=float(np.clip(rng.normal(1.0, 0.14), 0.7, 1.3)),
        folds=float(rng.uniform(22.0, 27.0)),
        signal={
            tissue: value * float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12))
            for tissue, value in _TISSUES.items()
        },
        seed=int(rng.integers(2**31)),
    )


def rotation_matrix(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z, ``[3, 3]``."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def to_head_frame(subject: Subject, points: Points) -> Points:
    """Points of the image frame (mm) in the head frame of an average adult."""
    rotated = (points - np.asarray(subject.offset, np.float32)) @ rotation_matrix(
        subject.rotation
    ).astype(np.float32)
    return np.asarray(rotated / np.asarray(subject.size, np.float32), np.float32)


class Head:
    """One subject's head as functions of points in the head frame."""

    def __init__(self, subject: Subject) -> None:
        rng = np.random.default_rng(subject.seed)
        self.subject = subject
        self._signal = subject.signal
        self._shape = SmoothNoise(rng, 70.0)
        self._folds = SmoothNoise(rng, subject.folds)
        self._texture = SmoothNoise(rng, 14.0)

    def signal(self, points: Points) -> Field:
        """T1 signal without bias or noise, ``[N]`` for points ``[N, 3]``."""
        signal = np.zeros(len(points), np.float32)
        about = np.flatnonzero(np.linalg.norm(points * _REACH, axis=-1) < 1)
        signal[about] = self._signal_within(points[about])
        return signal

    def _signal_within(self, points: Points) -> Field:
        cerebrum = self._cerebrum(points)
        cranium, outside = self._skull(points, cerebrum), self._outer(points, cerebrum)
        signal = np.zeros(len(points), np.float32)
        body = np.minimum(outside, cranium - 12) < 0
        signal[body] = self._soft_tissue(points[body], outside[body])
        shell = (cranium >= 0) & (cranium < 6.8) & (points[:, 2] > -62)
        signal[shell] = self._signal["bone"]
        diploe = (cranium > 1.8) & (cranium < 5.0) & (points[:, 2] > -20)
        signal[diploe] = self._signal["marrow"] * (0.8 + 0.25 * self._texture(points[diploe]))
        inside = cranium < 0
        signal[inside] = self._intracranial(points[inside], cerebrum[inside])
        return signal

    def brain(self, points: Points) -> Field:
        """Distance to the surface of cerebrum and cerebellum, mm, negative inside, ``[N]``."""
        return np.minimum(self._cerebrum(points), self._cerebellum(points))

    def ventricles(self, points: Points) -> Field:
        """Distance to the ventricles, mm, negative inside, ``[N]``."""
        scale = self.subject.ventricles
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        path = [(8, 33, 7), (11, 14, 17), (13, -8, 19), (21, -34, 9)]
        radii = [4.5 * scale, 6.0 * scale, 5.5 * scale, 6.5 * scale]
        lateral = np.full(len(points), np.inf, np.float32)
        for k in range(3):
            part = capsule(half, path[k], path[k + 1], radii[k], radii[k + 1])
            lateral = np.minimum(lateral, part)
        occipital = capsule(half, path[3], (23, -56, 6), radii[3], 2.0 * scale)
        temporal = capsule(half, path[3], (33, -4, -20), 4.0 * scale, 2.5 * scale)
        lateral = np.minimum(lateral, np.minimum(occipital, temporal))
        third = ellipsoid(half, (0, -5, 0), (2.8 * scale, 16, 11))
        fourth = ellipsoid(half, (0, -37, -36), (7 * scale, 6 * scale, 9))
        return np.minimum(lateral, np.minimum(third, fourth))

    def _cerebrum(self, points: Points) -> Field:
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        main = ellipsoid(half, (0, -4, 8), (66, 84, 60))
        base = (-16 - 0.06 * points[:, 1]) - points[:, 2]
        dome = -smooth_union(-main, -base.astype(np.float32), 14.0)
        temporal = ellipsoid(half, (40, 4, -22), (26, 46, 22))
        return smooth_union(dome, temporal, 10.0) + 0.8 * self._shape(points)

    def _cerebellum(self, points: Points) -> Field:
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        return smooth_union(
            ellipsoid(half, (24, -50, -40), (27, 30, 20)),
            ellipsoid(half, (0, -50, -36), (16, 26, 20)),
            6.0,
        )

    def _stem(self, points: Points) -> Field:
        upper = capsule(points, (0, -14, -6), (0, -20, -32), 15, 14)
        return smooth_union(upper, capsule(points, (0, -21, -34), (0, -42, -130), 12, 7), 6.0)

    def _skull(self, points: Points, cerebrum: Field) -> Field:
        """Distance to the inner table of the skull."""
        inner = smooth_union(cerebrum, self._cerebellum(points), 16.0)
        return smooth_union(inner - 2.2, self._stem(points) - 3.5, 12.0)

    def _outer(self, points: Points, cerebrum: Field) -> Field:
        """Distance to the skin."""
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        nape = ellipsoid(half, (0, -40, -30), (56, 46, 38))
        vault = smooth_union(cerebrum, nape, 30.0) - 15
        face = ellipsoid(half, (0, 46, -62), (56, 50, 64))
        nose = capsule(half, (0, 90, -30), (0, 104, -58), 6, 11)
        face = smooth_union(face, nose, 10.0)
        neck = capsule(half, (0, -18, -70), (0, -28, -180), 60, 56)
        head = smooth_union(smooth_union(vault, face, 26.0), neck, 30.0)
        ear = ellipsoid(half, (82, -14, -34), (5, 15, 24))
        return np.minimum(head, ear) + 0.6 * self._shape(points)

    def _soft_tissue(self, points: Points, outside: Field) -> Field:
        tone = self._signal
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        texture = self._texture(points)
        signal = tone["muscle"] * (1 + 0.12 * texture)
        signal[(texture > 1.1) & (points[:, 2] < -30)] = 0.8 * tone["fat"]
        signal[outside > -6.5] = tone["fat"] * (1 + 0.06 * texture[outside > -6.5])
        signal[outside > -2.0] = tone["skin"]
        orbit = capsule(half, (33, 74, -27), (18, 38, -24), 17, 7)
        signal[(orbit < 0) & (outside < -4)] = 0.9 * tone["fat"]
        signal[capsule(half, (33, 62, -27), (20, 40, -25), 3.0) < 0] = tone["muscle"]
        signal[ellipsoid(half, (33, 76, -27), (12.5, 12.5, 12.5)) < 0] = tone["vitreous"]
        jaw = capsule(half, (40, 20, -84), (10, 82, -108), 9) + 2 * texture
        signal[jaw < 3] = tone["bone"]
        signal[jaw < -3] = 0.8 * tone["marrow"]
        vertebra = capsule(points, (0, -18, -72), (0, -28, -180), 14)
        signal[vertebra < 2.5] = tone["bone"]
        disc = np.mod(points[:, 2], 19.0) < 4.5
        signal[(vertebra < 0) & ~disc] = tone["marrow"]
        airway = np.minimum(
            capsule(half, (0, 84, -52), (0, 44, -50), 10, 13) + 5 * texture,
            ellipsoid(half, (27, 58, -54), (13, 16, 16)) + 2 * texture,
        )
        airway = np.minimum(airway, capsule(points, (0, 22, -56), (0, 14, -150), 8))
        airway = np.minimum(airway, ellipsoid(half, (9, 88, -2), (10, 6, 9)))
        signal[(airway < 0) & (outside < -6)] = tone["air"] + 2
        mastoid = ellipsoid(half, (54, -24, -46), (13, 15, 15)) + 4 * texture
        signal[mastoid < 0] = tone["bone"]
        return np.asarray(signal, np.float32)

    def _intracranial(self, points: Points, cerebrum: Field) -> Field:
        tone = self._signal
        signal = np.full(len(points), tone["csf"], np.float32)
        stem = self._stem(points)
        signal[stem < 0] = 0.95 * tone["white"]
        cerebellum = self._cerebellum(points)
        inside = cerebellum < 0
        signal[inside] = self._cerebellar(points[inside], -cerebellum[inside])
        # The cisterns about the stem: in the middle, below, behind the frontal lobes.
        cistern = (points[:, 2] < -8) & (np.abs(points[:, 0]) < 15) & (points[:, 1] < 24)
        inside = (cerebrum < 0) & ~cistern
        signal[inside] = self._cerebral(points[inside], -cerebrum[inside])
        signal[self.ventricles(points) < 0] = tone["csf"]
        return signal

    def _cerebellar(self, points: Points, depth: Field) -> Field:
        tone = self._signal
        warped = points[:, 2] + 0.35 * points[:, 1] + 1.5 * self._texture(points)
        folium = np.sin(2 * np.pi * warped / 10.5)
        signal = np.where(depth + 3.0 * folium > 9, tone["white"], tone["grey"])
        return np.where((folium < -0.8) & (depth < 7), tone["csf"], signal).astype(np.float32)

    def _cerebral(self, points: Points, depth: Field) -> Field:
        """Cortex along the surface and along sulci, which are sheets pointing to the middle.

        The zero level of a random field is a set of sheets; sampling the field at points pushed
        radially to the surface turns them perpendicular to it, as sulci are.
        """
        tone = self._signal
        half = points.copy()
        half[:, 0] = np.abs(half[:, 0])
        radius = np.linalg.norm(points / np.array([66, 84, 60], np.float32), axis=-1)
        pushed = points / np.maximum(radius, 0.2)[:, None] ** 0.55
        pushed = pushed + 3.5 * self._texture(points / 2)[:, None]
        side = np.sign(points[:, :1]) * np.array([300.0, 0, 0], np.float32)
        sulcus = np.abs(self._folds(pushed + side)) * self.subject.folds / (2 * np.pi)
        reach = 17 + 5 * self._texture(points / 4)
        sulcus = np.where(depth < reach, sulcus, sulcus + (depth - reach))
        beyond_callosum = np.hypot(points[:, 1] / 44, (points[:, 2] - 2) / 24) > 1
        fissure = np.where(beyond_callosum, half[:, 0] + 0.8 * self._texture(points), 99)
        insula = capsule(half, (36, 22, -8), (38, -22, 4), 2.0) * 0.9
        sylvian = np.abs(points[:, 2] + 4 + 0.32 * points[:, 1])
        sylvian = np.where((half[:, 0] > 36) & (np.abs(points[:, 1] - 2) < 30), sylvian, 99)
        border = np.minimum(np.minimum(sulcus, fissure), np.minimum(sylvian, insula))
        signal = np.full(len(points), tone["white"], np.float32)
        signal[np.minimum(depth, border) < 4.4] = tone["grey"]
        signal[(border < 1.15) | (depth < 0.6)] = tone["csf"]
        nuclei = np.minimum(
            ellipsoid(half, (11, -12, 4), (9, 15, 9)),
            np.minimum(
                ellipsoid(half, (26, 4, 2), (6, 18, 11)),
                ellipsoid(half, (15, 24, 8), (5, 9, 10)),
            ),
        )
        signal[nuclei < 0] = tone["deep_grey"]
        return signal
