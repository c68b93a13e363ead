"""An error is a sentence for people, and a kind with facts for code."""

from __future__ import annotations

import ast
import importlib
import pickle
import string
from enum import Enum
from pathlib import Path

import napari_ifa
from napari_ifa.errors import CohortError

ROOT = Path(napari_ifa.__file__).parent


class Problem(Enum):
    TOO_MANY = "too many"
    TOO_FEW = "{found} cases, of at least {least}."


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


def test_a_kind_that_is_given_alone_brings_its_sentence():
    error = CohortError(Problem.TOO_FEW, found="{one}", least=2)
    assert str(error) == "{one} cases, of at least 2."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.kind, again.facts) == (str(error), Problem.TOO_FEW, error.facts)


def test_every_fact_in_the_sentence_of_a_kind_is_given_where_it_is_raised():
    found = 0
    for path in sorted(ROOT.rglob("problems.py")):
        place = path.relative_to(ROOT.parent).with_suffix("")
        room = importlib.import_module(".".join(place.parts))
        for file in sorted(path.parent.rglob("*.py")):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(call, ast.Call) or not call.args:
                    continue
                kind = call.args[0]
                if not isinstance(kind, ast.Attribute) or not isinstance(kind.value, ast.Name):
                    continue
                name = kind.value.id
                if not name.endswith(("Problem", "Note")) or not hasattr(room, name):
                    continue
                sentence = getattr(room, name)[kind.attr].value
                named = {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
                given = {fact.arg for fact in call.keywords}
                # The series is named where the sentence is made.
                given |= {"series"} if ast.unparse(call.func) == "Refusal" else set()
                assert named <= given, f"{file.name}:{call.lineno}"
                found += 1
    assert found > 100
