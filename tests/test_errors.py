"""An error is a sentence for people, and a kind with facts for code."""

from __future__ import annotations

import pickle
from enum import Enum

from napari_ifa.errors import CohortError


class Problem(Enum):
    TOO_MANY = "too many"


def test_kind_and_facts_reach_whoever_catches_it():
    error = CohortError("Six cases, of two that may fail.", Problem.TOO_MANY, found=6, most=2)
    assert str(error) == "Six cases, of two that may fail."
    assert error.kind is Problem.TOO_MANY
    assert error.facts == {"found": 6, "most": 2}


def test_kind_and_facts_come_back_from_another_process():
    error = CohortError("Six cases, of two that may fail.", Problem.TOO_MANY, found=6)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.kind, again.facts) == (str(error), error.kind, error.facts)


def test_without_a_kind_the_class_says_it_all():
    error = CohortError("The list is empty.")
    assert error.kind is None
    assert error.facts == {}
