"""The network to explain, from a bundle that may ask to be trusted.

No Qt and no layers here, as in the session, which this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ifa.errors import IfaError, UntrustedModelError

if TYPE_CHECKING:
    from napari_ifa.models import Classifier
    from napari_ifa.models.answers import ToldActivation
    from napari_ifa.viewer.state.study_browser import Runner


class ModelLoader:
    """Loads networks from the folders of MONAI bundles.

    Parameters
    ----------
    loaded : takes a network that has been loaded.
    fail : takes the error that ended a job.

    Attributes
    ----------
    folder, trusted : of the bundle that was loaded last; None before.

    Signals
    -------
    trust_wanted(path, sentence) : a bundle asks to run what is not on the allow-list.
    """

    trust_wanted = Signal(object, str)

    def __init__(
        self,
        runner: Runner,
        loaded: Callable[[Classifier], None],
        fail: Callable[[IfaError], None],
    ) -> None:
        self._runner, self._loaded, self._fail = runner, loaded, fail
        self.folder: Path | None = None
        self.trusted = False
        # Loads the bundle that asked for trust last, with it.
        self._trusting: Callable[[], None] | None = None

    def load(
        self,
        path: str | Path,
        trust: bool = False,
        told: ToldActivation | None = None,
        **where: str | None,
    ) -> None:
        """Load a bundle.

        ``told`` is how its outputs become probabilities, where the bundle does not say it;
        ``where`` its ``layer`` and the ``device`` to run on, if others than usual.
        """
        folder = Path(path)

        def work(progress: Any, stop: Any) -> Classifier:
            from napari_ifa.models import load_classifier

            how: dict[str, Any] = {name: given for name, given in where.items() if given}
            if told is not None:
                how["output_activation"] = told
            return load_classifier(folder, trust=trust, **how)

        def done(classifier: Classifier) -> None:
            self.folder, self.trusted = folder, trust
            self._loaded(classifier)

        def failed(error: IfaError) -> None:
            if isinstance(error, UntrustedModelError) and not trust:
                self._trusting = partial(self.load, folder, True, told, **where)
                self.trust_wanted.emit(folder, str(error))
            else:
                self._fail(error)

        self._runner.start("Loading the model", work, done, failed, key="bundle")

    def trust(self) -> None:
        """Load the bundle that asked for trust with it, and in all else as it was asked for."""
        if self._trusting is not None:
            self._trusting()
