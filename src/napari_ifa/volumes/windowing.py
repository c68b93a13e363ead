"""Display windows: those of the file, those of CT by custom, and one from the values."""

from __future__ import annotations

import numpy as np

from napari_ifa.volumes.volume import Volume, Window

#: HU, by custom.
CT_PRESETS = (
    Window(40.0, 400.0, "soft tissue"),
    Window(-600.0, 1500.0, "lung"),
    Window(90.0, 150.0, "liver"),
    Window(480.0, 2500.0, "bone"),
    Window(40.0, 80.0, "brain"),
)
_PERCENTILES = (0.5, 99.5)
#: Voxels looked at for percentiles.
_SAMPLE = 1_000_000


def default_window(volume: Volume) -> Window:
    """The window an image opens with: the file's first, then soft tissue for CT, else by values."""
    return offered_windows(volume)[0]


def offered_windows(volume: Volume) -> tuple[Window, ...]:
    """All windows to choose from, the default first; each has a name.

    The file's own come first, then for CT the customary ones, then one from the percentiles of
    the values.
    """
    own = [
        window if window.name else Window(window.center, window.width, _name(window))
        for window in volume.windows
    ]
    presets = CT_PRESETS if volume.modality == "CT" else ()
    return (*own, *presets, percentile_window(volume))


def percentile_window(volume: Volume) -> Window:
    """From the 0.5th to the 99.5th percentile of the finite values."""
    stride = max(1, round((volume.array.size / _SAMPLE) ** (1 / 3)))
    sample = volume.array[::stride, ::stride, ::stride].astype(np.float32)
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, _PERCENTILES) if sample.size else (0.0, 1.0)
    if high <= low:
        # A nearly empty image: the few values that differ are what there is to see.
        low, high = (sample.min(), sample.max()) if sample.size else (0.0, 1.0)
    width = float(high - low) or 1.0
    return Window(float(low) + width / 2, width, "by values")


def _name(window: Window) -> str:
    return f"{window.center:g} / {window.width:g}"
