"""The features as a Qt model: order, check boxes, what is said where there is no number."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_ifa.viewer.panels.feature_table import (
    CONTRIBUTION,
    FEATURE,
    IMPORTANCE,
    ORDERS,
    FeatureTable,
    signed,
)

IMPORTANCES = np.array([0.1, -2.0, 1.0])
CONTRIBUTIONS = np.array([3.0, 0.5, -0.2])


@pytest.fixture
def table(qapp):
    table = FeatureTable()
    table.show(np.array([True, True, False]), IMPORTANCES, CONTRIBUTIONS)
    return table


def features(table):
    return [table.feature_at(row) for row in range(table.rowCount())]


@pytest.mark.parametrize(
    ("order", "expected"),
    [(ORDERS[0], [2, 0, 1]), (ORDERS[1], [1, 2, 0]), (ORDERS[2], [0, 1, 2])],
)
def test_rows_are_sorted_by_what_is_chosen(table, order, expected):
    table.order_by(order)
    assert features(table) == expected


def test_a_click_on_a_header_sorts_by_its_column(table):
    table.sort(FEATURE)
    assert features(table) == [0, 1, 2]
    table.sort(IMPORTANCE, Qt.SortOrder.AscendingOrder)
    assert features(table) == [1, 0, 2]
    table.sort(CONTRIBUTION)
    assert features(table) == [0, 1, 2]


def test_check_box_tells_which_feature_was_switched(table, qtbot):
    index = table.index(features(table).index(2), FEATURE)
    assert index.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Unchecked
    with qtbot.waitSignal(table.toggled) as signal:
        table.setData(index, Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    assert signal.args == [2, True]


def test_without_a_cohort_the_case_decides_the_order(table):
    table.show(np.ones(3, bool), None, CONTRIBUTIONS)
    assert features(table) == [0, 1, 2]
    assert table.index(0, IMPORTANCE).data() == "–"


def test_features_without_importance_go_last(table):
    table.show(np.ones(3, bool), np.array([np.nan, -1.0, 1.0]), CONTRIBUTIONS)
    assert features(table) == [2, 1, 0]
    table.sort(IMPORTANCE, Qt.SortOrder.AscendingOrder)
    assert features(table) == [1, 2, 0]


def test_a_thousand_features_sort_within_a_blink(table):
    import time

    rng = np.random.default_rng(0)
    table.show(np.ones(1024, bool), rng.normal(size=1024), rng.normal(size=1024))
    start = time.perf_counter()
    table.order_by(ORDERS[2])
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "+0.123"), (-12.0, "−12"), (1e-7, "+1.0e-07"), (0.0, "0"), (None, "–")],
)
def test_numbers_have_three_digits_and_a_sign(value, text):
    assert signed(value) == text
