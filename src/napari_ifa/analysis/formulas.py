"""Methods whose formula was corrected: what was made with the older one does not hold any more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: The attribute of an analysis file; a file without it was made with the first formulas.
FORMULA = "method_formula"
_CUBE_INSIDE = (
    "in the older one the cube of the gradient stood inside the sum over the voxels, where equation"
    " 19 of Grad CAM++ has it outside"
)
#: The number of the formula in use, and how the one before differs.
_CORRECTED: Mapping[str, tuple[int, str]] = MappingProxyType(
    {"gradcam++": (2, _CUBE_INSIDE), "smoothgradcam++": (2, _CUBE_INSIDE)}
)


def formula_of(method: str) -> int:
    """The number of a method's formula: 1, unless it was corrected."""
    return _CORRECTED[method][0] if method in _CORRECTED else 1


def older_formula(attributes: Mapping[Any, Any]) -> str | None:
    """Why an analysis with these attributes does not hold any more; None where it does."""
    method = str(attributes.get("method"))
    if str(attributes.get(FORMULA, 1)) == str(formula_of(method)):
        return None
    why = f": {_CORRECTED[method][1]}" if method in _CORRECTED else ""
    return f"was made with another formula of '{method}' than the present one{why}"


def plan_of_formula(method: str) -> dict[str, str]:
    """What finished shards depend on beside the method's name; nothing for most methods."""
    return {"formula of the method": str(formula_of(method))} if method in _CORRECTED else {}
