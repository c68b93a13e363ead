from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from napari_ifa.analysis import Analysis
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.measures.feature_order import CurveMasks, FeatureOrder
from napari_ifa.evaluation.problems import EvaluationProblem
from tests.problems import refused


def analysis_of(true: np.ndarray, all_cases: np.ndarray | None = None) -> Analysis:
    """An analysis that holds importance matrices alone."""
    matrices = {"importance_true": true, "importance_all": true if all_cases is None else all_cases}
    names = np.array([f"class {c}" for c in range(true.shape[1])], dtype=object)
    variables = {name: (("feature", "class"), matrix) for name, matrix in matrices.items()}
    return Analysis(xr.Dataset(variables, coords={"class": names}))


def test_order_by_hand() -> None:
    # ranks in class 0: features 2, 0, 1, 3; in class 1: features 3, 2, 1, 0
    matrix = np.array([[3.0, -9], [2, 1], [5, 2], [-4, 8]])

    found = FeatureOrder.of(analysis_of(matrix))

    # best ranks 1, 2, 0, 0; of 2 and 3 the first has the better mean rank
    assert found.best.tolist() == [1, 2, 0, 0]
    assert found.order.tolist() == [2, 3, 0, 1]
    assert found.union(0.25).keep.tolist() == [False, False, True, True]
    assert found.first(3).keep.tolist() == [True, False, True, True]
    assert found.last(1).keep.tolist() == [False, True, False, False]


def test_size_and_contrast_by_hand() -> None:
    matrix = np.array([[3.0, -9], [2, 1], [5, 2], [-4, 8]])

    by_size = FeatureOrder.of(analysis_of(matrix), by="abs")
    by_contrast = FeatureOrder.of(analysis_of(matrix), by="contrast")

    # |class 0|: features 2, 3, 0, 1; |class 1|: features 0, 3, 2, 1
    assert by_size.best.tolist() == [0, 3, 0, 1]
    # class 0 less the mean: 6, 0.5, 1.5, −6; class 1 the same with the other sign
    assert by_contrast.best.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("by", ["value", "abs", "contrast"])
@pytest.mark.parametrize("top", [0.01, 0.05, 0.2, 0.5, 1.0])
def test_the_union_of_the_classes_masks_is_the_beginning_of_the_order(by, top: float) -> None:
    analysis = analysis_of(np.random.default_rng(0).normal(size=(60, 4)))
    order = FeatureOrder.of(analysis, by)

    masks = [analysis.principal_features(c, top, by, kind="true").keep for c in range(4)]
    union = order.union(top)

    np.testing.assert_array_equal(union.keep, np.any(masks, axis=0))
    np.testing.assert_array_equal(order.first(union.count).keep, union.keep)


def test_a_class_without_a_case_has_no_say() -> None:
    matrix = np.array([[1.0, np.nan], [2.0, np.nan]])

    found = FeatureOrder.of(analysis_of(matrix))

    assert found.order.tolist() == [1, 0]
    assert found.without_cases == (1,)


def test_without_any_labelled_case_the_importance_over_all_cases_is_taken() -> None:
    found = FeatureOrder.of(analysis_of(np.full((3, 1), np.nan), np.array([[1.0], [3.0], [2.0]])))

    assert found.kind == "all"
    assert found.order.tolist() == [1, 2, 0]


def test_what_cannot_be_ranked_is_said() -> None:
    one = analysis_of(np.array([[1.0], [2.0]]))
    with refused(AnalysisError, EvaluationProblem.CONTRAST_OF_ONE):
        FeatureOrder.of(one, by="contrast")
    with refused(AnalysisError, EvaluationProblem.NO_SUCH_RANKING, by="size"):
        FeatureOrder.of(one, by="size")
    with refused(AnalysisError, AnalysisProblem.NO_SHARE, share=5):
        FeatureOrder.of(one).union(5)


def test_the_masks_of_a_curve_stand_once_each_and_where_they_are_said_to() -> None:
    order = FeatureOrder.of(analysis_of(np.random.default_rng(1).normal(size=(20, 3))))

    found = CurveMasks.of(order, 0.05, (0.05, 0.1, 0.101, 0.5, 1.0), seed=0)

    assert found.kept == (1, 2, 3, 10, 20)
    assert found.masks[0].count == 20
    assert found.masks[1].count + found.masks[2].count == 20
    assert len({mask.keep.tobytes() for mask in found.masks}) == len(found.masks)
    for place, kept in enumerate(found.kept):
        np.testing.assert_array_equal(found.masks[found.first[place]].keep, order.first(kept).keep)
        np.testing.assert_array_equal(found.masks[found.last[place]].keep, order.last(kept).keep)
        assert {found.masks[numbers[place]].count for numbers in found.random} == {kept}
    drawn = [found.masks[numbers[3]].keep for numbers in found.random]
    assert any((one != drawn[0]).any() for one in drawn), "orders differ"
    within = [found.masks[n].keep for n in found.random[0]]
    assert all((less <= more).all() for less, more in pairwise(within))


def test_random_orders_are_seeded() -> None:
    order = FeatureOrder.of(analysis_of(np.random.default_rng(1).normal(size=(20, 3))))

    assert order.shuffled(1).order.tolist() == order.shuffled(1).order.tolist()
    assert order.shuffled(1).order.tolist() != order.shuffled(2).order.tolist()
