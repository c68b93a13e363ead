"""What of a model an analysis must share with another one, or with a model, to be valid for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ifa.models.classifier import Classifier

#: Attributes that must be equal for an analysis to be valid for a model.
IDENTITY = ("weights", "network", "layer", "preprocessing", "class names", "settings", "code")
#: Those that earlier files do not have: without the settings that a definition refers to, nothing
#: is known of them; without code there was none that could be told apart.
LATER = {"settings": None, "code": ""}


def identity_attributes(classifier: Classifier) -> dict[str, str]:
    """A model's identity as the file's attributes."""
    return {attribute_of(key): text for key, text in classifier.identity().items()}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What of a model's identity differs between two sets of attributes, by its name."""
    different = []
    for key in IDENTITY:
        mine, theirs = (found.get(attribute_of(key), LATER.get(key)) for found in (one, other))
        unknown = key in LATER and (mine is None or theirs is None)
        if not unknown and str(mine) != str(theirs):
            different.append(key)
    return different


def attribute_of(key: str) -> str:
    """Under which name a part of the identity stands in the file."""
    return "model_" + key.replace(" ", "_")
