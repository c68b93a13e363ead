"""How well explanations and principal features fit what the model answers."""

from __future__ import annotations

from napari_ifa.evaluation.evaluate import Evaluation, evaluate
from napari_ifa.evaluation.measures.localisation import localise

__all__ = ["Evaluation", "evaluate", "localise"]
