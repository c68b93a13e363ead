"""Which window an image opens with, and which are offered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ifa.volumes import (
    CT_PRESETS,
    Volume,
    Window,
    default_window,
    offered_windows,
    percentile_window,
)

RAMP = Volume(np.arange(1001, dtype=np.float32).reshape(1001, 1, 1), np.eye(4))


def test_windows_of_the_file_come_first_and_have_names() -> None:
    volume = replace(RAMP, modality="CT", windows=(Window(35, 100), Window(300, 1500, "bone")))
    assert default_window(volume) == Window(35, 100, "35 / 100")
    assert [w.name for w in offered_windows(volume)] == [
        "35 / 100", "bone", "soft tissue", "lung", "liver", "bone", "brain", "by values",
    ]  # fmt: skip


def test_ct_without_windows_opens_with_soft_tissue() -> None:
    assert default_window(replace(RAMP, modality="CT")) == Window(40, 400, "soft tissue")
    assert {w.name: (w.width, w.center) for w in CT_PRESETS} == {
        "soft tissue": (400, 40),
        "lung": (1500, -600),
        "liver": (150, 90),
        "bone": (2500, 480),
        "brain": (80, 40),
    }


def test_others_open_between_percentiles() -> None:
    # Half a per cent of 0 to 1000 is 5 at either end.
    window = default_window(replace(RAMP, modality="MR"))
    np.testing.assert_allclose(window.limits, (5, 995), rtol=1e-5)
    assert offered_windows(RAMP) == (percentile_window(RAMP),)


def test_values_that_are_missing_do_not_count() -> None:
    array = RAMP.array.copy()
    array[::2] = np.nan
    array[1] = np.inf
    low, high = percentile_window(replace(RAMP, array=array)).limits
    assert 0 < low < 20
    assert 980 < high < 1000


def test_empty_and_nearly_empty_images_have_a_window() -> None:
    assert percentile_window(replace(RAMP, array=np.full((3, 3, 3), 7))).width == 1
    assert percentile_window(replace(RAMP, array=np.full((3, 3, 3), np.nan))).width == 1
    speck = np.zeros((20, 20, 20))
    speck[10, 10, 10] = 5
    assert percentile_window(replace(RAMP, array=speck)).limits == (0, 5)


def test_large_images_are_sampled_evenly() -> None:
    array = np.broadcast_to(np.arange(400, dtype=np.int16)[:, None, None], (400, 300, 300))
    low, high = percentile_window(replace(RAMP, array=array)).limits
    assert abs(low - 2) <= 3
    assert abs(high - 397) <= 3
