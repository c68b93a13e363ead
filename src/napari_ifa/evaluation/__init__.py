"""What an analysis and its explanations are worth: numbers, their figures, and both in words.

In the order of the data:

* `statistics`: intervals, tests and shares over cases that may belong together.
* `measures`: numbers that take the model and a cohort; `evaluation_pass` collects them.
* `checks`: numbers that an analysis alone gives.
* `figures`: each takes such numbers.
* `section`, `sections`: `sections_of` puts numbers and figure into words, in one way for all.
* `evaluate`, `findings`: all measures, and all checks, with their sections.
* `summary`: the analysis itself as sections, and what results were made from.
"""

from __future__ import annotations

from napari_ifa.evaluation.evaluate import Evaluation, evaluate
from napari_ifa.evaluation.measures.localisation import localise

__all__ = ["Evaluation", "evaluate", "localise"]
