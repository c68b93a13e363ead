from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from napari_ifa.evaluation.statistics.shares import of_lost_share, of_mean_share, of_share

Z = 1.959963984540054


def right(number: int, of: int) -> np.ndarray:
    return np.arange(of) < number


def test_wilson_by_hand() -> None:
    found = of_share(right(8, 10))

    # z = 1.96: centre (0.8 + z²/20) / (1 + z²/10), half width z·sqrt(0.016 + z²/400) / (1 + z²/10)
    z2 = Z**2
    centre, half = (0.8 + z2 / 20) / (1 + z2 / 10), np.sqrt(z2 * (0.016 + z2 / 400)) / (1 + z2 / 10)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert found.method == "Wilson"


@pytest.mark.parametrize(("number", "of"), [(0, 1), (0, 20), (3, 7), (20, 20), (499, 500)])
def test_wilson_is_that_of_scipy(number: int, of: int) -> None:
    expected = binomtest(number, of).proportion_ci(0.95, "wilson")

    found = of_share(right(number, of))

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_share_of_no_case_has_no_interval() -> None:
    assert of_share(np.zeros(0, bool)).method == ""
    assert np.isnan(of_share(np.zeros(0, bool)).low)


def test_ten_copies_of_each_patient_say_no_more_than_one() -> None:
    one = np.random.default_rng(0).random(200) < 0.8
    ten = np.repeat(np.arange(200), 10)

    alone, copied = of_share(one), of_share(one[ten], ten)

    # but for Student's t in place of the normal
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.02)
    assert copied.method == "Wilson for groups"


def test_where_all_are_right_the_patients_alone_count() -> None:
    """Nothing varies, so that nothing tells how alike the ten images of a patient are."""
    found = of_share(np.ones(200, bool), np.repeat(np.arange(20), 10))

    # Wilson's for 20 trials of which all succeed is n / (n + z²), here with t₁₉ = 2.093 for z
    number = 20 * (Z / 2.093024) ** 2
    assert found.low == pytest.approx(number / (number + Z**2))


def test_all_cases_of_one_patient_have_no_interval() -> None:
    assert np.isnan(of_share(right(3, 5), np.zeros(5, int)).low)


def test_equal_classes_make_a_score_interval_by_hand() -> None:
    """Four of five in both: every p is the mean, and (B − θ)² = z²·θ(1 − θ)/(2·4)."""
    found = of_mean_share([right(4, 5), right(4, 5)])

    for end in (found.low, found.high):
        assert (0.8 - end) ** 2 == pytest.approx(Z**2 * end * (1 - end) / 8)


def test_of_one_class_it_is_wilsons() -> None:
    one, mean = of_share(right(17, 20)), of_mean_share([right(17, 20)])

    assert (mean.low, mean.high) == pytest.approx((one.low, one.high))


def test_the_ends_are_those_of_a_search_over_all_pairs() -> None:
    """Two unequal classes, against the best of a fine grid of pairs with the same mean."""
    found = of_mean_share([right(3, 8), right(11, 12)])
    mean = (3 / 8 + 11 / 12) / 2

    def beyond(theta: float) -> float:
        p = np.linspace(max(0, 2 * theta - 1), min(1, 2 * theta), 200_001)[1:-1]
        q = 2 * theta - p
        likely = 3 * np.log(p) + 5 * np.log1p(-p) + 11 * np.log(q) + np.log1p(-q)
        best = int(np.nanargmax(likely))
        variance = (p[best] * (1 - p[best]) / 7 + q[best] * (1 - q[best]) / 11) / 4
        return (mean - theta) ** 2 - Z**2 * variance

    for end, step in ((found.low, -1e-3), (found.high, 1e-3)):
        assert beyond(end + step) > 0 > beyond(end - step)


def test_a_mean_of_perfect_classes_is_not_called_certain() -> None:
    found = of_mean_share([right(5, 5)] * 10)

    # (1 − θ)² = z²·θ(1 − θ)/(10·4), so θ = 40 / (40 + z²)
    assert (found.low, found.high) == (pytest.approx(40 / (40 + Z**2)), 1)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_balanced_accuracy_is_covered_with_five_cases_a_class(classes: int) -> None:
    generator = np.random.default_rng(classes)
    inside = 0
    for _ in range(150):
        p = generator.uniform(0.5, 0.99, classes)
        found = of_mean_share([generator.random(5) < one for one in p])
        inside += found.low <= p.mean() <= found.high
    assert inside >= 0.91 * 150


def test_single_cases_of_a_class_do_not_break_the_mean() -> None:
    found = of_mean_share([right(1, 1), right(0, 1), right(9, 10)])

    assert 0 < found.low < (1 + 0 + 0.9) / 3 < found.high < 1


def test_classes_of_copies_are_brought_down_to_their_patients() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.random(100) < 0.8, generator.random(100) < 0.6
    ten = np.repeat(np.arange(100), 10)

    alone = of_mean_share([one, other])
    copied = of_mean_share([one[ten], other[ten]], [ten, 100 + ten])

    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.03)


def test_the_loss_of_none_is_bounded_by_the_rule_of_three() -> None:
    every = np.ones(300, bool)

    found = of_lost_share(every, every, level=0.9)

    # one-sided at 95 %: 1 − 0.05^(1/300) = 0.00994, below a point
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 300))
    assert of_lost_share(every[:298], every[:298], level=0.9).high > 0.01


def test_a_loss_by_hand() -> None:
    """Five of 100 lost and none gained: Clopper and Pearson's end of the five."""
    found = of_lost_share(np.ones(100, bool), right(95, 100))

    none = 1 - 0.025**0.01
    assert found.high == pytest.approx(beta.ppf(0.975, 6, 95))
    assert found.low == pytest.approx(0.05 - np.hypot(0.05 - beta.ppf(0.025, 5, 96), none))


def test_losses_in_few_patients_count_for_the_patients() -> None:
    """No case is lost, but 300 images of 30 patients bound the loss no better than 30 cases."""
    every = np.ones(300, bool)

    found = of_lost_share(every, every, np.repeat(np.arange(30), 10), level=0.9)

    assert found.high > 0.09
