"""Numbers and names as a sentence says them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 feature", "2 features"; ``many`` where the plural takes more than an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the first few of many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def percent(share: float) -> str:
    """A share of 0…1 without decimals; NaN is "no number"."""
    return f"{100 * share:.0f} %" if np.isfinite(share) else "no number"
