"""What every finding is: sections to read, and a short text in place of its arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod

from napari_ifa.evaluation.section import Section


class Finding(ABC):
    """Something found in an analysis; printed, it is the sentence of its first section."""

    @property
    @abstractmethod
    def sections(self) -> tuple[Section, ...]:
        """Its tables with their figures, the main one first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.sections[0].meaning}"
