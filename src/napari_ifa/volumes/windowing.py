"""Display windows: those of the file, those of CT by custom, and one from the values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.volumes.volume import Volume, Window

#: HU, by custom.
CT_PRESETS = (
    Window(40.0, 400.0, "soft tissue"),
    Window(-600.0, 1500.0, "lung"),
    Window(90.0, 150.0, "liver"),
    Window(480.0, 2500.0, "bone"),
    Window(40.0, 80.0, "brain"),
)
_NUCLEAR = ("PT", "NM")
#: Of black to white: what a person can still see, and values between two extremes looked at.
_LEAST_CONTRAST = 0.02
_LOOKED_AT = 1001


def default_window(volume: Volume) -> Window:
    """The window an image opens with: the file's first, then soft tissue for CT, else by values."""
    return offered_windows(volume)[0]


def offered_windows(volume: Volume) -> tuple[Window, ...]:
    """All windows to choose from, the default first; each has a name.

    The file's own come first, then for CT the customary ones, then one from the percentiles of
    the values. Windows of the file in which this image is one even area come last: they are wrong.
    """
    by_values = percentile_window(volume)
    presets = CT_PRESETS if volume.modality == "CT" else ()
    own = [replace(w, name=w.name or f"{w.center:g} / {w.width:g}") for w in volume.windows]
    if not own:
        return (*presets, by_values)
    showing = [window for window in own if _shows(window, *volume.full_range)]
    blank = [window for window in own if window not in showing]
    return (*showing, *presets, by_values, *blank)


def percentile_window(volume: Volume) -> Window:
    """From the 0.5th to the 99.5th percentile of the finite values.

    In nuclear medicine (PET, SPECT) black is no activity at all, or less.
    """
    low, high = volume.usual_range
    if volume.modality in _NUCLEAR:
        low = min(low, 0.0)
    width = (high - low) or 1.0
    return Window(low + width / 2, width, "by values")


def display(values: NDArray[Any], window: Window, inverted: bool = False) -> NDArray[np.float64]:
    """Brightness, 0 (black) to 1 (white), of values in the units of the image.

    Parameters
    ----------
    values : of any shape; those that are missing (NaN) are black.
    inverted : as MONOCHROME1 is shown, black for the highest.
    """
    low, high = window.limits
    values = np.asarray(values, dtype=np.float64)
    brightness = np.clip((values - low) / (high - low), 0.0, 1.0)
    if window.curve:
        places = np.linspace(0.0, 1.0, len(window.curve))
        brightness = np.interp(brightness, places, window.curve)
    if inverted:
        brightness = 1.0 - brightness
    return np.where(np.isnan(values), 0.0, brightness)


def _shows(window: Window, low: float, high: float) -> bool:
    """Whether values from ``low`` to ``high`` differ in brightness; true of an even image."""
    if low == high:
        return True
    brightness = display(np.linspace(low, high, _LOOKED_AT), window)
    return bool(np.ptp(brightness) >= _LEAST_CONTRAST)
