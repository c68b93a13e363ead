"""Names of a cohort's splits: the same split goes by several."""

from __future__ import annotations

from collections.abc import Iterable

_SYNONYMS = (
    frozenset({"train", "training"}),
    frozenset({"val", "valid", "validation", "dev"}),
    # MNIST's 10,000 test digits.
    frozenset({"test", "testing", "t10k"}),
)


def is_split_name(name: str) -> bool:
    """Whether this is one of the usual names: train, training, val, validation, test, …"""
    return bool(_synonyms(name))


def splits_called(wanted: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that ``wanted`` means.

    The very name if it is there; else those that differ in case or by a usual synonym ("train" for
    "training"), also as the last part of the name ("emnist-letters-train").
    """
    listed = list(names)
    if wanted in listed:
        return [wanted]
    same = [name for name in listed if name.casefold() == wanted.casefold()]
    synonyms = _synonyms(wanted)
    return same or [name for name in listed if synonyms & _synonyms(name.rpartition("-")[2])]


def _synonyms(name: str) -> frozenset[str]:
    folded = name.casefold()
    return next((group for group in _SYNONYMS if folded in group), frozenset())
