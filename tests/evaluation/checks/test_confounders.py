from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from napari_ifa import samples
from napari_ifa.analysis import Analysis, FeatureMask, analyze, explain
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.candidate_maps import candidate_cases, candidate_maps
from napari_ifa.evaluation.checks.confounders import (
    chance_of_z,
    confounder_candidates,
    log_share,
    robust_z,
)
from napari_ifa.evaluation.figures.candidate_maps import candidate_maps_figure
from napari_ifa.evaluation.findings import findings
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.evaluation.sections.candidate_maps import candidate_maps_section
from napari_ifa.models import load_classifier
from napari_ifa.volumes import SourceOrder, volume_from_file_order
from sample_data.making.cohort import make_case, plan
from tests.known_analysis import known_analysis
from tests.problems import refused

LESIONS = {"bright lesion": {29, 39}, "dark lesion": {32, 33}}


def one_class(importance) -> Analysis:
    """An analysis of one case whose contributions are these."""
    return known_analysis(np.asarray(importance, float)[None, :, None], [1])


def test_share_and_robust_z_of_its_logarithm_by_hand():
    # Powers of two: log2 of the shares lies 3, 1, 0, 0, −1 from the median; absolute deviations
    # 3, 1, 0, 0, 1: median 1 (·1.4826), mean 1 (·1.2533)
    found = confounder_candidates(one_class([-8.0, 2.0, 1.0, -1.0, 0.5]))

    np.testing.assert_allclose(found.share[:, 0], np.array([8, 2, 1, 1, 0.5]) / 12.5)
    np.testing.assert_allclose(found.z[:, 0], np.array([3, 1, 0, 0, -1]) / 1.4826, rtol=1e-6)
    # t with 0.37 · 4 degrees of freedom, five shares
    expected = np.minimum(1, 5 * student.sf(found.z[:, 0], 1.48))
    np.testing.assert_allclose(found.adjusted[:, 0], expected)
    assert found.ranked[0] == (0, 0)


def test_the_robust_z_where_more_than_half_of_the_features_are_alike():
    values = np.array([[0.5], [0.2], [0.1], [0.1], [0.1]])
    # deviations 0.4, 0.1, 0, 0, 0 with median 0 and mean 0.1
    np.testing.assert_allclose(
        robust_z(values)[:, 0], np.array([0.4, 0.1, 0, 0, 0]) / 0.12533, rtol=1e-4, atol=1e-12
    )


def test_features_alike_have_no_z_and_a_class_without_a_case_no_number():
    equal = np.full((6, 1), 0.1 + 0.2) / 6

    np.testing.assert_array_equal(robust_z(equal), np.zeros((6, 1)))
    assert np.isnan(robust_z(np.full((6, 1), np.nan))).all()


def test_features_of_next_to_nothing_are_no_measure_of_the_others():
    """Sixty dead features make no candidates of forty living ones."""
    rng = np.random.default_rng(8)
    values = np.concatenate([rng.lognormal(-20, 0.1, 60), np.zeros(10), rng.lognormal(0, 0.6, 40)])

    found = confounder_candidates(one_class(values))

    assert not found.candidate.any()
    assert np.isnan(found.z[:70]).all()


def test_the_share_to_reach_is_that_of_the_level():
    found = confounder_candidates(one_class(np.arange(1.0, 31.0)))

    logs = log_share(found.share)
    logs[-1] = np.log(found.share_to_reach[0])
    middle = np.median(log_share(found.share))
    scale = (log_share(found.share)[0, 0] - middle) / found.z[0, 0]
    assert chance_of_z((logs - middle) / scale)[-1, 0] == pytest.approx(0.05)


@pytest.mark.parametrize("features", [16, 40, 512])
@pytest.mark.parametrize("width", [0.5, 2.0])
def test_log_normal_importance_gives_a_candidate_no_more_often_than_stated(features, width):
    rng = np.random.default_rng(5)
    runs, errors = 300, 0
    for _ in range(runs):
        values = rng.choice([-1, 1], (1, features, 3)) * rng.lognormal(0, width, (1, features, 3))
        errors += bool((chance_of_z(robust_z(log_share(shares(values[0])))) <= 0.05).any())
    assert binomtest(errors, runs, 0.05, alternative="greater").pvalue > 0.01


def shares(values):
    return np.abs(values) / np.abs(values).sum(axis=0)


def test_a_share_far_above_log_normal_others_is_a_candidate():
    rng = np.random.default_rng(9)
    values = rng.lognormal(0, 0.5, 60)
    values[[7, 8]] = 40.0

    found = confounder_candidates(one_class(values))

    assert np.flatnonzero(found.by_share[:, 0]).tolist() == [7, 8]
    assert "2 stand apart by size" in sections_of(found)[0].meaning
    assert "places of features are not known" in sections_of(found)[0].meaning


def placed(spread, cases=20, importance=None):
    """Two classes of so many cases; ``spread [F, 2]``."""
    spread = np.asarray(spread, float)
    weights = np.ones(spread.shape) if importance is None else np.asarray(importance, float)
    k = np.repeat(weights[None], 2 * cases, axis=0)
    analysis = known_analysis(k, np.repeat([0, 1], cases))
    active = np.where(np.isfinite(spread), cases, 0)
    return Analysis(
        analysis.dataset.assign(
            position_spread=(("feature", "class"), spread),
            position_cases=(("feature", "class"), active),
        )
    )


def test_a_much_used_feature_at_a_steady_place_in_one_class_is_a_candidate():
    rng = np.random.default_rng(10)
    spread = 0.1 * rng.lognormal(0, 0.15, (30, 2))
    spread[4] = 0.01, 0.1  # at one place in class 0 alone
    spread[5] = 0.01, 0.01  # an organ: at one place in both
    spread[6] = 0.01, 0.1  # hardly used
    importance = rng.lognormal(0, 0.5, (30, 2))
    importance[[4, 5]] = 10.0
    importance[6] = 0.5

    found = confounder_candidates(placed(spread, importance=importance))

    assert np.argwhere(found.by_place).tolist() == [[4, 0]]
    assert found.steadier[4, 0] == pytest.approx(10)
    assert found.steadier[4, 1] == pytest.approx(0.1)
    assert found.ranked[0] == (4, 0)
    row = sections_of(found)[0].rows[0]
    assert (row["candidate"], row["candidate_by_place"]) == (True, True)
    assert "1 is at a steady place" in sections_of(found)[0].meaning


def test_a_feature_that_is_active_in_one_class_alone_is_compared_with_the_others_of_the_class():
    rng = np.random.default_rng(11)
    spread = 0.1 * rng.lognormal(0, 0.15, (30, 2))
    spread[4] = 0.005, np.nan
    importance = np.ones((30, 2))
    importance[4, 0] = 5.0

    found = confounder_candidates(placed(spread, importance=importance))

    assert found.steadier[4, 0] == pytest.approx(np.median(spread[:, 0]) / 0.005)
    assert np.argwhere(found.by_place).tolist() == [[4, 0]]


def test_few_cases_tell_no_place():
    found = confounder_candidates(placed(np.full((30, 2), 0.1), cases=4))

    assert np.isnan(found.spread).all()
    assert "No feature is active in enough cases" in sections_of(found)[0].meaning


def test_features_that_vary_alike_in_place_are_called_no_more_often_than_stated():
    rng = np.random.default_rng(12)
    runs, errors = 200, 0
    for _ in range(runs):
        importance = rng.lognormal(0, 1, (40, 3))
        own = 0.1 * rng.lognormal(0, 0.5, (40, 1))
        # Of 12 cases in three directions
        spread = own * np.sqrt(rng.chisquare(33, (40, 3)) / 33)
        analysis = known_analysis(importance[None].repeat(36, 0), np.repeat([0, 1, 2], 12))
        found = confounder_candidates(
            Analysis(
                analysis.dataset.assign(
                    position_spread=(("feature", "class"), spread),
                    position_cases=(("feature", "class"), np.full((40, 3), 12)),
                )
            )
        )
        errors += bool(found.by_place.any())
    assert binomtest(errors, runs, 0.05, alternative="greater").pvalue > 0.01


def test_a_class_without_a_case_is_left_out():
    rng = np.random.default_rng(6)
    k = rng.lognormal(0, 0.3, size=(5, 20, 2))
    k[:, 4, 0] = 200.0

    found = confounder_candidates(known_analysis(k, [0] * 5))

    assert len(found.ranked) == 20
    np.testing.assert_array_equal(np.argwhere(found.candidate), [[4, 0]])
    assert {row["class"] for row in sections_of(found)[0].rows} == {"class 0"}


def test_without_any_case_it_is_said():
    section = sections_of(confounder_candidates(known_analysis(np.ones((2, 3, 2)), [-1, -1])))[0]

    assert section.rows == ()
    assert section.meaning.startswith("No class has a case")


@pytest.fixture(scope="module")
def analysed():
    """Both sample cohorts' test cases."""

    def analysis(version):
        classifier = load_classifier(samples.bundle(version))
        cohort = read_cohort(samples.cohort(version), "test")
        return classifier, cohort, analyze(classifier, cohort, batch_size=4)

    return {version: analysis(version) for version in samples.VERSIONS}


@pytest.mark.parametrize("kind", ["true", "all"])
def test_the_planted_confounder_ranks_first(analysed, kind):
    found = confounder_candidates(analysed["confounded"][2], kind=kind)

    first = [(found.class_names[c], f) for f, c in found.ranked[:4]]
    assert {name: {f for n, f in first if n == name} for name in LESIONS} == LESIONS
    candidates = {(found.class_names[c], int(f)) for f, c in np.argwhere(found.candidate)}
    assert candidates <= set(first)
    assert {name for name, _ in candidates} == set(LESIONS)


@pytest.mark.parametrize("kind", ["true", "all"])
def test_the_clean_cohort_has_no_candidate(analysed, kind):
    found = confounder_candidates(analysed["clean"][2], kind=kind)

    assert not found.candidate.any()
    assert "none stands apart" in sections_of(found)[0].meaning


def test_the_first_feature_alone_lies_on_the_marker(analysed):
    classifier, cohort, analysis = analysed["confounded"]
    found = findings(analysis)
    feature, class_idx = found.confounders.ranked[0]

    planned = {case.id: case for case in plan("confounded")}
    alone = FeatureMask.only(analysis.features, [feature])
    for case in candidate_cases(cohort, found, feature, class_idx)[:1]:
        explanation = explain(classifier, case.read(), analysis, class_idx, alone)
        marker = marker_region(planned[case.path.name.removesuffix(".nii.gz")])
        activation = explanation.class_activation.array
        strongest = np.unravel_index(int(np.nanargmax(activation)), activation.shape)
        apart = (np.argwhere(marker) - strongest) * explanation.volume.spacing
        # A voxel of the feature grid is some 15 mm wide.
        assert np.linalg.norm(apart, axis=1).min() < 25, "mm"
        assert np.nanmean(activation[marker]) > 20 * np.nanmean(np.abs(activation[~marker]))


def marker_region(case):
    """Where a scan with its marker differs from the same scan without it, ``[I, P, L]``."""
    scans = [make_case(case, marker=marker) for marker in (True, False)]
    change = np.abs(np.subtract(*(np.asarray(scan.array, dtype=np.float32) for scan in scans)))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scans[0].affine
    found = volume_from_file_order(change, lps, SourceOrder(kind="nifti")).array
    return found > 0.3 * found.max()


def test_the_maps_show_the_cases_in_which_the_feature_contributes_most(analysed, tmp_path):
    classifier, cohort, analysis = analysed["confounded"]
    found = findings(analysis)
    feature, class_idx = found.confounders.ranked[0]

    maps = candidate_maps(classifier, cohort, found, features=1, cases=2)
    figure = candidate_maps_figure(found.confounders, maps)

    data = analysis.dataset
    own = data["contribution"].values[data["label"].values == class_idx, feature]
    most = np.sort(own)[::-1][:2]
    shown = [case.id for case in candidate_cases(cohort, found, feature, class_idx)[:2]]
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == [
        f"{case.removesuffix('.nii.gz')}\nk = {value:+.2g} logit"
        for case, value in zip(shown, most, strict=True)
    ]
    assert "slice" in figure.get_supxlabel()
    ticks = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert ticks == ["strongest\nagainst", "neutral", "strongest\nfor"]
    figure.savefig(tmp_path / "maps.png")


@pytest.mark.parametrize(
    ("version", "title", "meaning"),
    [
        ("clean", "Where the first features in rank answer", "The first in rank; none is a"),
        ("confounded", "Where the first confounder candidates answer", "The first candidate. Each"),
    ],
)
def test_the_section_says_whether_what_it_shows_are_candidates(analysed, version, title, meaning):
    classifier, cohort, analysis = analysed[version]

    found = findings(analysis)
    maps = candidate_maps(classifier, cohort, found, features=1, cases=1)
    section = candidate_maps_section(found.confounders, maps)

    assert section.title == title
    assert section.meaning.startswith(meaning)
    assert [row["candidate"] for row in section.rows] == [version == "confounded"]


def test_without_labels_the_cases_answered_so_are_shown(analysed):
    _, cohort, analysis = analysed["clean"]
    unlabelled = Analysis(analysis.dataset.assign(label=analysis.dataset["label"] * 0 - 1))

    cases = candidate_cases(cohort, findings(unlabelled), 0, 1)

    answered = [analysis.case_ids[n] for n in np.flatnonzero(analysis.predicted == 1)]
    assert {case.id for case in cases} == set(answered)


def test_maps_need_the_cohort_that_was_analysed(analysed):
    classifier, cohort, analysis = analysed["confounded"]

    with refused(AnalysisError, EvaluationProblem.NO_CANDIDATE_CASE):
        candidate_maps(classifier, replace(cohort, cases=()), findings(analysis))
