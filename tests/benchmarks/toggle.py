"""How long one slice of the overlay takes after a feature is switched, drawing excluded.

    python tests/benchmarks/toggle.py [result.json]

A display grid of 300 × 512 × 512, 512 features on a grid of 8 × 16 × 16. The reach is 16 ms in the
median and 33 ms at P95; the ratio is the time over its reach.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from napari_ifa.analysis import CommonScale, FeatureMask
from napari_ifa.viewer.scene.overlay import ActivationOverlay
from napari_ifa.volumes import FeatureGrid, Volume

DISPLAY, GRID, FEATURES, TOGGLES = (300, 512, 512), (8, 16, 16), 512, 200
PLANES = ("axial", "coronal", "sagittal")
MEDIAN_MS, P95_MS = 16.0, 33.0


def milliseconds(axis: int) -> np.ndarray:
    """Times of single toggles, each with the slice of that plane which is then shown."""
    affine = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [-1.0, 0, 0, 0], [0, 0, 0, 1]])
    volume = Volume(np.zeros(DISPLAY, np.uint8), affine)
    random = np.random.default_rng(0)
    explanation = SimpleNamespace(
        volume=volume,
        grid=FeatureGrid.from_network_input(affine, DISPLAY, GRID),
        weighted_features=random.normal(size=(FEATURES, *GRID)).astype(np.float32),
        scale=CommonScale(-1, 1),
        mask=FeatureMask.all(FEATURES),
    )
    overlay = ActivationOverlay(explanation)
    keep, times = np.ones(FEATURES, bool), []
    for index in range(TOGGLES):
        keep = keep.copy()
        keep[random.integers(FEATURES)] ^= True
        key = [slice(None)] * 3
        key[axis] = slice(index, index + 1)
        begin = time.perf_counter()
        overlay.keep_features(keep)
        shown = overlay[tuple(key)]
        times.append(1e3 * (time.perf_counter() - begin))
        assert np.isfinite(shown).all()
    explanation.mask = FeatureMask(keep)
    np.testing.assert_allclose(shown, ActivationOverlay(explanation)[tuple(key)], atol=1e-5)
    return np.array(times)


def main() -> None:
    rows = []
    print(f"{'plane':10}{'ratio':>8}{'median ms':>12}{'P95 ms':>10}")
    for axis, plane in enumerate(PLANES):
        times = milliseconds(axis)
        median, p95 = float(np.median(times)), float(np.percentile(times, 95))
        ratio = max(median / MEDIAN_MS, p95 / P95_MS)
        print(f"{plane:10}{ratio:8.3f}{median:12.2f}{p95:10.2f}")
        rows.append({"plane": plane, "ratio": ratio, "median_ms": median, "p95_ms": p95})
    if len(sys.argv) > 1:
        result = {"machine": platform.processor() or platform.machine(), "rows": rows}
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
