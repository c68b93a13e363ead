"""Which window an image opens with, and which are offered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ifa.volumes import (
    CT_PRESETS,
    Volume,
    Window,
    default_window,
    display,
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


def test_windows_in_which_the_image_is_one_even_area_come_last() -> None:
    # All of 0 to 1000 is white in the first and black in the second; the third spans 1 % of grey.
    wrong = (Window(-500, 100, "white"), Window(5000, 100, "black"), Window(500, 100_000, "grey"))
    volume = replace(RAMP, modality="CT", windows=(*wrong, Window(300, 200, "right")))
    names = [window.name for window in offered_windows(volume)]
    assert names[0] == "right"
    assert names[-3:] == ["white", "black", "grey"]
    assert default_window(replace(volume, windows=wrong)).name == "soft tissue"
    assert default_window(replace(volume, windows=wrong, modality="MR")).name == "by values"


def test_an_even_image_keeps_the_window_of_its_file() -> None:
    for array in (np.full((3, 3, 3), 7), np.full((3, 3, 3), np.nan)):
        volume = replace(RAMP, array=array, windows=(Window(1000, 10, "own"),))
        assert default_window(volume).name == "own"


def test_nuclear_medicine_begins_at_no_activity() -> None:
    assert percentile_window(replace(RAMP, modality="PT")).limits == pytest.approx((0, 995))
    corrected = replace(RAMP, array=RAMP.array - 100, modality="NM")
    assert percentile_window(corrected).limits == pytest.approx((-95, 895))


def test_limits_of_each_function() -> None:
    # PS3.3 C.11.2.1.2.1: a center of 40 and a width of 80 show 0 to 79.
    assert Window(40, 80, function="LINEAR").limits == (0, 79)
    assert Window(40, 80).limits == (0, 80)
    # 1 / (1 + exp(4 · 1.5581)) = 1/510 at 1.5581 widths.
    low, high = Window(100, 50, function="SIGMOID").limits
    assert (low, high) == pytest.approx((100 - 77.905, 100 + 77.905))


@pytest.mark.parametrize(
    ("values", "window", "expected"),
    [
        ([-10, 0, 20, 40, 80, 90], Window(40, 80), [0, 0, 0.25, 0.5, 1, 1]),
        ([0, 39.5, 79], Window(40, 80, function="LINEAR"), [0, 0.5, 1]),
        # A width of 1 is a threshold: binary images come with 0.5 / 1.
        ([0, 1], Window(0.5, 1, function="LINEAR"), [0, 1]),
        ([39, 40], Window(40, 1, function="LINEAR"), [0, 1]),
        # The ends of a curve hold outside, whatever they are.
        ([5, 10, 11, 11.5, 12, 99], Window(11, 2, curve=(1, 0.6, 0.2)), [1, 1, 0.6, 0.4, 0.2, 0.2]),
        ([np.nan, np.inf, -np.inf], Window(40, 80), [0, 1, 0]),
    ],
)  # fmt: skip
def test_brightness_of_values(values: list[float], window: Window, expected: list[float]) -> None:
    np.testing.assert_allclose(display(np.array(values), window), expected, rtol=0, atol=1e-12)
    shown = np.isfinite(values)
    np.testing.assert_allclose(
        display(np.array(values), window, inverted=True)[shown], 1 - np.array(expected)[shown]
    )


def test_missing_values_are_black_even_where_low_is_white() -> None:
    assert display(np.array([np.nan, 0.0]), Window(40, 80), inverted=True).tolist() == [0, 1]
