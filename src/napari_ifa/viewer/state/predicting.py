"""The model's answer with all features and with those that are kept.

No Qt and no layers here, as in the session, which this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation
    from napari_ifa.errors import IfaError
    from napari_ifa.models import Classifier
    from napari_ifa.viewer.state.study_browser import Runner


@dataclass(frozen=True)
class Prediction:
    """Logits and probabilities ``[C]`` with all features and with the chosen ones.

    The masked ones are None while the network still computes them, and probabilities where the
    model has none.
    """

    logits: NDArray[Any]
    probabilities: NDArray[Any] | None
    masked_logits: NDArray[Any] | None
    masked_probabilities: NDArray[Any] | None


class Predictor:
    """Answers for the explanation on show, one after the other as features go and come.

    Parameters
    ----------
    tell : takes an answer, and the same answer again once its masked part is there.
    say : takes a sentence.
    fail : takes the error that ended a job.
    """

    def __init__(
        self,
        runner: Runner,
        tell: Callable[[Prediction], None],
        say: Callable[[str], None],
        fail: Callable[[IfaError], None],
    ) -> None:
        self._runner, self._tell, self._say, self._fail = runner, tell, say, fail
        self._explanation: Explanation | None = None
        # The model whose paths around the layer have been looked for.
        self._looked_at: Classifier | None = None

    def predict(self, explanation: Explanation) -> None:
        """Logits with the kept features: at once where they are exact sums, else by a pass."""
        self._explanation = explanation
        complete = bool(np.all(explanation.mask.keep))
        if complete or explanation.follows_contributions:
            self._answer(explanation.logits if complete else explanation.masked_logits)
            return
        self._answer(None)

        def work(progress: Any, stop: Any) -> NDArray[Any]:
            return explanation.masked_logits

        def done(masked_logits: NDArray[Any]) -> None:
            now = self._explanation
            if now is not None and now.case is explanation.case and now.mask is explanation.mask:
                self._answer(masked_logits)

        self._runner.start("Predicting", work, done, self._fail, key="predict")

    def forget(self) -> None:
        """Nothing is explained any more."""
        self._explanation = None

    def look_for_a_path_around(self) -> None:
        """Say, once for each model, if switching features off cannot show the whole answer."""
        if self._explanation is None or self._looked_at is self._explanation.case.classifier:
            return
        case = self._explanation.case
        self._looked_at = case.classifier

        def work(progress: Any, stop: Any) -> bool:
            return case.bypassed

        def done(bypassed: bool) -> None:
            now = self._explanation
            if bypassed and now is not None and now.case.classifier is case.classifier:
                self._say(
                    f"Part of the answer goes around the layer '{case.classifier.target_layer}':"
                    " switching its features off does not show all that the answer rests on."
                )

        self._runner.start("Following the features", work, done, self._fail, key="path")

    def _answer(self, masked_logits: NDArray[Any] | None) -> None:
        explanation = self._explanation
        assert explanation is not None
        to_probabilities = explanation.case.classifier.probabilities
        self._tell(
            Prediction(
                np.asarray(explanation.logits),
                explanation.probabilities,
                masked_logits,
                None if masked_logits is None else to_probabilities(masked_logits),
            )
        )
