"""What can be wrong with a cohort, for code that has to tell one problem from another."""

from __future__ import annotations

from enum import Enum


class CohortProblem(Enum):
    """The kinds of error of a pass over a cohort, each with its ``facts``."""

    EMPTY = "The cohort holds no case; choose a split that does."
    NO_BATCH = "A batch needs 1 case or more, and {size} were asked for."
    NO_SHARE = (
        "A share of {share:g} of the cases is not between 0 and 1; give for example 0.05 to"
        " skip up to 5 %."
    )
    NOT_FINITE = "{values} of {of} values that the network would see are not finite."
    NONE_USABLE = "None of the cohort's cases can be used; the first, case {case}: {reason}"
    TOO_MANY_SKIPPED = "more cases skipped than may be"  # case, reason, skipped, most
