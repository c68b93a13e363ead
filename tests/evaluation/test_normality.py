from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import lognorm
from sklearn.datasets import load_iris

from napari_ifa.evaluation.statistics.normality import henze_zirkler


def slowly(values: np.ndarray) -> tuple[float, float]:
    """The paper's formulae one pair at a time, with a generic inverse of the covariance."""
    n, d = values.shape
    inverse = np.linalg.inv(np.cov(values.T, bias=True).reshape(d, d))
    beta = 2**-0.5 * ((2 * d + 1) / 4) ** (1 / (d + 4)) * n ** (1 / (d + 4))
    mean = values.mean(0)
    pairs = single = 0.0
    for x in values:
        single += np.exp(-(beta**2) / (2 * (1 + beta**2)) * (x - mean) @ inverse @ (x - mean))
        for y in values:
            pairs += np.exp(-(beta**2) / 2 * (x - y) @ inverse @ (x - y))
    statistic = n * (
        pairs / n**2 - 2 * (1 + beta**2) ** (-d / 2) * single / n + (1 + 2 * beta**2) ** (-d / 2)
    )
    a, w = 1 + 2 * beta**2, (1 + beta**2) * (1 + 3 * beta**2)
    mu = 1 - a ** (-d / 2) * (1 + d * beta**2 / a + d * (d + 2) * beta**4 / (2 * a**2))
    variance = (
        2 * (1 + 4 * beta**2) ** (-d / 2)
        + 2 * a**-d * (1 + 2 * d * beta**4 / a**2 + 3 * d * (d + 2) * beta**8 / (4 * a**4))
        - 4 * w ** (-d / 2) * (1 + 3 * d * beta**4 / (2 * w) + d * (d + 2) * beta**8 / (2 * w**2))
    )
    log_mean = np.log(np.sqrt(mu**4 / (variance + mu**2)))
    log_sd = np.sqrt(np.log((variance + mu**2) / mu**2))
    return statistic, float(lognorm.sf(statistic, log_sd, scale=np.exp(log_mean)))


@pytest.mark.parametrize(
    ("columns", "statistic", "p"),
    # Iris setosa: Korkmaz et al., The R Journal 6/2 (2014), and the MVN package's tutorial.
    [(4, 0.9488453, 0.04995356), (2, 0.286, 0.915)],
)
def test_published_numbers(columns: int, statistic: float, p: float) -> None:
    found = henze_zirkler(load_iris().data[:50, :columns])

    digits = 7 if columns == 4 else 3
    assert round(found.statistic, digits) == pytest.approx(statistic, abs=0.5 * 10**-digits)
    assert round(found.p, digits) == pytest.approx(p, abs=0.5 * 10**-digits)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_same_as_the_formulae_one_pair_at_a_time(d: int) -> None:
    values = np.random.default_rng(d).gamma(3.0, size=(31, d))

    assert henze_zirkler(values).statistic == pytest.approx(slowly(values)[0])
    assert henze_zirkler(values).p == pytest.approx(slowly(values)[1])


def test_more_values_than_a_block_of_rows() -> None:
    values = np.random.default_rng(3).normal(size=(700, 2))

    whole = slowly(values[:60]), henze_zirkler(values[:60])
    assert whole[1].statistic == pytest.approx(whole[0][0])
    blocks = np.concatenate([values[350:], values[:350]])
    assert henze_zirkler(blocks).statistic == pytest.approx(henze_zirkler(values).statistic)


def test_normal_pairs_are_refused_about_as_often_as_stated() -> None:
    generator = np.random.default_rng(0)
    mixed = np.array([[1.0, 0.8], [0.0, 0.6]])

    refused = [henze_zirkler(generator.normal(size=(40, 2)) @ mixed).p < 0.05 for _ in range(1000)]

    # 5 % of 1000 with a standard error of 0.7 %
    assert 0.03 < np.mean(refused) < 0.07


def test_skewed_pairs_are_refused() -> None:
    values = np.random.default_rng(1).lognormal(size=(60, 2))

    assert henze_zirkler(values).p < 1e-4


def test_units_do_not_matter() -> None:
    values = np.random.default_rng(2).normal(size=(25, 2))

    found = henze_zirkler(values * [1e6, 1e-6] + [3, -1e-5])

    assert found.statistic == pytest.approx(henze_zirkler(values).statistic)


def test_points_on_a_line_are_tested_along_it() -> None:
    x = np.random.default_rng(4).normal(size=30)

    found = henze_zirkler(np.stack([x, 5 - 3 * x], 1))

    assert found.statistic == pytest.approx(slowly(x[:, None])[0])


@pytest.mark.parametrize("values", [np.ones((9, 2)), np.eye(2), np.zeros((0, 2))])
def test_nothing_is_said_of_too_few_or_equal_values(values: np.ndarray) -> None:
    assert np.isnan(henze_zirkler(values).p)
