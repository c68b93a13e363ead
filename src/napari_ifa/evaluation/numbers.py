"""What measures and findings return, and their arrays: numbers, without figures and words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Arrays by what they hold.
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Letters of a value in the short text of a result.
_LONGEST = 40


class Numbers:
    """Base of the results that are frozen dataclasses; printed, arrays show their shapes alone."""

    def __repr__(self) -> str:
        names = (field.name for field in fields(self))  # type: ignore[arg-type]
        values = ", ".join(f"{name}={_short(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({values})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{list(value.shape)}"
    text = repr(value)
    return text if len(text) <= _LONGEST and "array" not in text else f"<{type(value).__name__}>"
