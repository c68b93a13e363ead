from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from napari_ifa.analysis.scale import CommonScale
from napari_ifa.cam import memory
from napari_ifa.evaluation.measures.consistency import (
    Consistency,
    correlate,
    map_sums,
    pooling_scale,
)
from napari_ifa.evaluation.sections import sections_of

# α = 1 and β = 0, so that S-CAM is the tanh itself.
PLAIN = CommonScale(float(np.arctanh(0.1)), float(np.arctanh(0.9)))


def test_sums_of_the_three_kinds_by_hand() -> None:
    # 0 and 4 on four voxels, by the half-voxel rule: 0, 1, 3, 4
    maps = torch.tensor([[[0.0, 4.0], [-4.0, 0.0]]])

    found = map_sums(maps, (4,), [PLAIN, PLAIN])

    np.testing.assert_allclose(found[0, 0, :2], [0 + 1 / 4 + 3 / 4 + 1, 8])
    assert found[0, 0, 2] == pytest.approx(np.tanh([0, 1, 3, 4]).sum(), rel=1e-6)
    # nothing is positive: the usual CAM is 0 all over, the others keep what speaks against
    np.testing.assert_allclose(found[0, 1, :2], [0, -8])
    assert found[0, 1, 2] == pytest.approx(-np.tanh([0, 1, 3, 4]).sum(), rel=1e-6)


def test_the_usual_cam_begins_at_each_images_own_minimum() -> None:
    # 2, 3, 5, 6 on the image
    found = map_sums(torch.tensor([[[2.0, 6.0]]]), (4,), [PLAIN])

    assert found[0, 0, 0] == pytest.approx(0 + 1 / 4 + 3 / 4 + 1)


def test_space_comes_first_then_tanh_and_relu() -> None:
    found = map_sums(torch.tensor([[[-4.0, 4.0]]]), (4,), [PLAIN])

    # −4, −2, 2, 4 on the image; relu and tanh on the grid would have given other numbers
    assert found[0, 0, 0] == pytest.approx(0.5 + 1)
    assert map_sums(torch.tensor([[[-1.0, 3.0]]]), (4,), [PLAIN])[0, 0, 2] == pytest.approx(
        np.tanh([-1, 0, 2, 3]).sum(), rel=1e-6
    )


def test_a_constant_positive_map_is_no_usual_cam() -> None:
    found = map_sums(torch.full((1, 1, 2), 3.0), (4,), [PLAIN])

    assert found[0, 0, 0] == 0.0
    assert found[0, 0, 1] == 12.0


def test_a_class_without_a_scale_has_no_s_cam_and_the_others_do() -> None:
    found = map_sums(torch.ones(1, 2, 2, 2), (4, 4), [None, PLAIN])

    assert np.isnan(found[0, 0, 2])
    assert found[0, 1, 2] == pytest.approx(16 * np.tanh(1), rel=1e-6)


def test_classes_in_blocks_are_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(0))
    scales = [CommonScale(-1, 1 + c) for c in range(7)]
    whole = map_sums(maps, (6, 6), scales)
    lengths: list[int] = []
    in_blocks = memory.in_blocks

    def counting(count, length, compute, *, what):
        lengths.append(length)
        return in_blocks(count, length, compute, what=what)

    monkeypatch.setattr(memory, "CPU_BLOCK", 4 * 2 * 36 * 2)
    monkeypatch.setattr(memory, "in_blocks", counting)

    np.testing.assert_array_equal(map_sums(maps, (6, 6), scales), whole)
    assert lengths == [2]


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_whole_number_of_voxels_per_feature_voxel_keeps_sums_in_proportion(times: int) -> None:
    maps = torch.randn(4, 1, 4, 3, 5, generator=torch.Generator().manual_seed(1))

    found = map_sums(maps, (4 * times, 3 * times, 5 * times), [PLAIN])[:, 0, 1]

    sums = maps.double().flatten(1).sum(1).numpy()
    np.testing.assert_allclose(found, times**3 * sums, rtol=1e-5, atol=1e-4)


def test_other_sizes_weigh_voxels_unequally_by_little() -> None:
    """3 voxels on 25, so 8⅓ each: the middle one counts 0.3 % more, the outer ones 0.2 % less."""
    weights = map_sums(torch.eye(3)[:, None], (25,), [PLAIN])[:, 0, 1]

    np.testing.assert_allclose(weights / (25 / 3), [0.9984, 1.0032, 0.9984], rtol=1e-5)


def test_coefficients_are_those_of_scipy() -> None:
    x = np.random.default_rng(0).normal(size=40)
    y = x + np.random.default_rng(1).normal(size=40)

    found = correlate(x, y)

    assert (found.pearson, found.pearson_p) == pytest.approx(tuple(pearsonr(x, y)))
    assert (found.spearman, found.spearman_p) == pytest.approx(tuple(spearmanr(x, y)))
    assert found.chosen == "Pearson"
    assert (found.coefficient, found.p) == (found.pearson, found.pearson_p)


def test_a_skewed_pair_is_correlated_by_ranks() -> None:
    x = np.random.default_rng(0).lognormal(0, 1.5, size=60)

    found = correlate(x, np.log(x))

    assert found.normality_p < 0.05
    assert found.chosen == "Spearman"
    assert found.coefficient == pytest.approx(1.0)
    assert found.pearson < 0.9


def test_the_interval_is_that_of_resampled_pairs() -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=200)
    y = 0.6 * x + 0.8 * generator.normal(size=200)
    drawn = [generator.integers(0, 200, 200) for _ in range(4000)]
    expected = np.percentile([np.corrcoef(x[i], y[i])[0, 1] for i in drawn], [2.5, 97.5])

    found = correlate(x, y)

    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected), abs=0.02)
    assert found.interval.method == "BCa bootstrap"


def test_a_perfect_line_has_a_correlation_and_an_interval_of_one() -> None:
    x = np.random.default_rng(3).normal(size=30)

    found = correlate(2 * x + 7, x)

    assert found.coefficient == pytest.approx(1.0)
    assert (found.interval.low, found.interval.high) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([4.0, 4, 4, 4], [1.0, 2, 3, 4], "the sum is the same in every case"),
        # a difference of float32's rounding is none
        ([1.0, 2, 3, 4], [5.0, 5, 5, 5 + 1e-6], "the logit is the same in every case"),
        ([1.0, 2], [1.0, 2], "fewer than 3 cases"),
        ([np.nan] * 4, [1.0, 2, 3, 4], "the class has no common scale"),
    ],
)
def test_no_correlation_is_said_with_its_reason(x, y, reason: str) -> None:
    found = correlate(x, y)

    assert np.isnan([found.coefficient, found.p, found.interval.low]).all()
    assert found.reason == reason
    assert found.chosen == ""


def consistency(cases: int = 12) -> Consistency:
    """Logits 10 + m and 20 − 1.5 m, as of a pooled linear head, beside sums m and −1.5 m."""
    m = np.random.default_rng(0).normal(4, 2, size=cases)
    logits = np.stack([10 + m, 20 - 1.5 * m], 1)
    raw = logits - [10, 20]
    sums = np.stack([np.abs(raw), raw, np.tanh(raw), np.tanh(raw / 8)], -1)
    return Consistency(
        sums,
        logits,
        logits.argmax(1),
        ("none", "lesion"),
    )


def test_a_class_is_correlated_over_all_cases_and_the_predicted_one_pooled() -> None:
    found = consistency()

    for c in (0, 1):
        assert found.correlations[c, 1].coefficient == pytest.approx(1.0)
    chosen = np.where(found.predicted == 0, 0, 1)
    assert set(chosen) == {0, 1}
    expected = pearsonr(
        [found.sums[n, c, 1] for n, c in enumerate(chosen)],
        [found.logits[n, c] for n, c in enumerate(chosen)],
    )
    # the classes' biases differ, so that pooling them costs something
    assert found.correlations[None, 1].pearson == pytest.approx(expected.statistic)
    assert expected.statistic < 1


def test_the_section_has_a_row_for_each_class_and_kind_and_says_that_cases_are_few() -> None:
    section = sections_of(consistency())[0]

    kinds = ["usual CAM", "class activation", "S-CAM", "S-CAM, one scale"]
    # sums on a scale for each class are not pooled
    assert [(row["class"], row["map"]) for row in section.rows] == [
        *(("predicted class of each case", kind) for kind in kinds if kind != "S-CAM"),
        *(("none", kind) for kind in kinds),
        *(("lesion", kind) for kind in kinds),
    ]
    scales = {row["map"]: row["scale"] for row in section.rows}
    assert scales["S-CAM"].startswith("of each class")
    assert scales["S-CAM, one scale"].startswith("one for all classes")
    assert all(row.keys() == section.columns.keys() for row in section.rows)
    assert "With 12 cases the test of normality misses much" in section.limits
    assert "no interval below 15" in section.limits
    assert "With 40" not in sections_of(consistency(40))[0].limits
    assert "no interval" not in sections_of(consistency(40))[0].limits
    assert section.draw is not None
    assert len(section.draw().axes) == 6


def test_the_sentence_gives_the_range_by_class_beside_the_pooled_number() -> None:
    found = consistency()

    said = sections_of(found)[0].meaning

    assert "[by class 1.000 to 1.000]" in said
    assert "S-CAM on each class's own scale [by class" in said
    assert "sums=array[12, 2, 4]" in repr(found)


def test_a_p_value_is_never_nonsense() -> None:
    few, many = np.arange(4.0), np.arange(60.0)

    # 24 orders of four cases, two of them perfect
    assert correlate(few, few**3).spearman_p == pytest.approx(2 / 24)
    found = correlate(many, many**3)
    assert (found.spearman_p, correlate(many, 2 * many).pearson_p) == (1e-16, 1e-16)
    assert "1e-16 stands for that or less" in sections_of(consistency())[0].columns["p"]


def test_the_figure_tells_each_panels_quantity_and_classes_coefficients() -> None:
    figure = sections_of(consistency())[0].draw()

    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[1] == "class activation, summed over voxels\n(logit × voxels)"
    assert labels[2] == "S-CAM, one scale, summed over voxels\n(voxels)"
    assert labels[5] == "S-CAM, one scale, summed over voxels\n(voxels)"
    assert "lesion: " in figure.axes[4].get_title()
    (legend,) = figure.legends
    assert "predicted class above" in legend.get_title().get_text()


def test_one_output_has_no_predicted_class() -> None:
    both = consistency()

    one = Consistency(
        both.sums[:, :1],
        both.logits[:, :1],
        np.zeros(12, int),
        ("size",),
    )

    assert list(one.correlations) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert "with the output's logit" in sections_of(one)[0].meaning


def test_the_pooling_scale_is_centred_on_zero_and_reaches_the_strongest_cases() -> None:
    least, greatest = np.array([[-3.0, -1], [-1, -10]]), np.array([[2.0, 4], [0, 5]])

    found = pooling_scale(least, greatest)

    # the cases' greatest |a| are 3, 4, 1 and 10; P90 of these is 4 + 0.7·6
    assert found is not None
    assert found.neutral == pytest.approx(0, abs=1e-12)
    assert found(np.array([8.2, -8.2])) == pytest.approx([0.9, -0.9])
    assert pooling_scale(np.zeros((2, 2)), np.zeros((2, 2))) is None
    assert pooling_scale(np.full((2, 1), np.nan), np.full((2, 1), np.nan)) is None


def test_sums_on_the_one_scale_by_hand() -> None:
    one = pooling_scale([[0.0]], [[4.0]])

    found = map_sums(torch.tensor([[[0.0, 4.0]]]), (4,), [None], one)

    assert found[0, 0, 3] == pytest.approx(
        np.tanh(np.arctanh(0.9) / 4 * np.arange(5)[[0, 1, 3, 4]]).sum()
    )
    assert np.isnan(map_sums(torch.ones(1, 1, 2), (4,), [PLAIN])[0, 0, 3])


def test_focal_evidence_of_several_classes_is_pooled_along_the_logit() -> None:
    """One voxel speaks for, the others against by half as much together, in one class three times
    as strongly: on a scale for each class the sums run against the logit."""
    generator = np.random.default_rng(0)
    strength, predicted, rows = generator.uniform(1, 10, 60), np.arange(60) % 2, np.arange(60)
    maps = np.zeros((60, 2, 10, 10), np.float32)
    maps[rows, predicted] = 0.01 * generator.normal(size=(60, 10, 10)) - (
        strength[:, None, None] / 200
    )
    maps[rows, predicted, 4, 4] += strength * np.where(predicted == 1, 3, 1)
    one = pooling_scale(maps.min((2, 3)), maps.max((2, 3)))
    scales = [CommonScale(*np.percentile(maps[predicted == c, c], [10, 90])) for c in range(2)]

    sums = map_sums(torch.from_numpy(maps), (10, 10), scales, one)

    logits = maps.sum((2, 3), dtype=float)[rows, predicted]
    assert pearsonr(sums[rows, predicted, 3], logits).statistic > 0.85
    assert pearsonr(sums[rows, predicted, 2], logits).statistic < -0.4


def test_of_patients_with_several_cases_there_is_no_p_and_a_wider_interval() -> None:
    generator = np.random.default_rng(1)
    patients = np.repeat(np.arange(20), 10)
    x = generator.normal(size=20)[patients] + 0.1 * generator.normal(size=200)
    y = 0.5 * x + generator.normal(size=20)[patients]

    alone, grouped = correlate(x, y), correlate(x, y, patients)

    assert grouped.coefficient == alone.coefficient
    assert np.isnan([grouped.p, grouped.pearson_p, grouped.spearman_p]).all()
    width = [one.interval.high - one.interval.low for one in (alone, grouped)]
    assert width[1] > 2 * width[0]
    assert grouped.interval.method.endswith("bootstrap of groups")
