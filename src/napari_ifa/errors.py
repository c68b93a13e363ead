"""The project's exceptions: every message is one sentence that a person can act on.

A message says what was found, what was expected and what to do. It never carries patient data.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from napari_ifa.plain import sentence


class IfaError(Exception):
    """Base of all errors that the project raises on purpose.

    A name in its sentence may come from a file, so it is shown as plain text on one line.

    Attributes
    ----------
    kind : what is wrong, for code that has to tell one problem from another; the sentence is for
        people and may be worded differently in the next version. None where the class says it all.
        Given alone, its value is the sentence, with the facts' names in braces.
    facts : the numbers and names that the sentence is made of, by name.
    """

    def __init__(self, message: str | Enum = "", kind: Enum | None = None, **facts: Any) -> None:
        if isinstance(message, Enum):
            kind, message = message, message.value.format(**facts)
        super().__init__(message)
        self.kind = kind
        self.facts = facts

    def __str__(self) -> str:
        return sentence(super().__str__())


class UnsupportedStudyError(IfaError):
    """An image, series or folder that cannot be opened correctly, and why."""


class BundleError(IfaError):
    """A MONAI bundle that is incomplete or does not describe a classifier."""


class UntrustedModelError(BundleError):
    """A bundle asks to run code that is not on the allow-list."""


class ExplanationError(IfaError):
    """A class activation that cannot be computed: layer, class, input or geometry."""


class CohortError(IfaError):
    """A cohort file that cannot be read, or cases that cannot be used."""


class AnalysisError(IfaError):
    """An analysis that cannot be computed, read or applied."""


class AnalysisMismatchError(AnalysisError):
    """An analysis that was made with another model, layer, method or preprocessing."""


class Cancelled(IfaError):
    """Long work was stopped by the person."""


class ExistingOutputError(IfaError):
    """A result, the file or folder ``path``, that was there and was not to be overwritten."""

    def __init__(self, path: Path) -> None:
        what = (
            "The folder for the results holds some already, which are"
            if path.is_dir()
            else (f"{path.name} exists already and is")
        )
        super().__init__(f"{what} not replaced unasked; give another place, or overwrite.")
        self.path = path


class AlreadyRunningError(IfaError):
    """Another run works on the same place."""
