"""What a class can be compared with, so that "for" and "against" mean something.

Behind a softmax one logit does not say what speaks for its class: the same number added to every
logit leaves all probabilities as they are (Srinivas & Fleuret, ICLR 2021). A difference of logits
does. Of outputs that stand alone, as behind sigmoids and in a regression, the logit itself does.
"""

from __future__ import annotations

from typing import TypeAlias

#: A name in `TARGETS`, or the number of the class that is compared with.
Target: TypeAlias = int | str

LOGIT, OTHERS, RUNNER_UP = "logit", "others", "runner-up"
#: The targets that are no class: y_c itself; y_c minus the mean of all other logits; y_c minus the
#: largest other logit of the case.
TARGETS: tuple[Target, ...] = (LOGIT, OTHERS, RUNNER_UP)
#: What is explained, in words.
IN_WORDS = {
    LOGIT: "logit",
    OTHERS: "logit minus the mean of the others",
    RUNNER_UP: "logit minus the largest other",
}


def possible_targets(output_activation: str, classes: int) -> tuple[Target, ...]:
    """What there is beside single classes; the logit alone where outputs do not compete.

    Of two classes the runner-up is all others.
    """
    if output_activation != "softmax" or classes < 2:
        return (LOGIT,)
    return TARGETS if classes > 2 else (LOGIT, OTHERS)


def target_key(target: Target) -> str:
    """Under what name an analysis keeps a target: ``"others"``, ``"class 2"``."""
    return target if isinstance(target, str) else f"class {target}"
