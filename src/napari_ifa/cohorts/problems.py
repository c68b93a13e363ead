"""What can be wrong with a cohort, for code that has to tell one problem from another."""

from __future__ import annotations

from enum import Enum


class CohortProblem(Enum):
    """The kinds of error of a pass over a cohort, each with its ``facts``."""

    EMPTY = "no case"
    NO_BATCH = "a batch of no case"  # size
    NO_SHARE = "a share that is not between 0 and 1"  # share
    NOT_FINITE = "values that are not finite"  # values, of
    NONE_USABLE = "no case that can be used"  # case, reason
    TOO_MANY_SKIPPED = "more cases skipped than may be"  # case, reason, skipped, most
