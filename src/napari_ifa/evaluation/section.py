"""One result of an analysis as people read it: a table, a picture, and what they say in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Section:
    """A table with its figure, one sentence of what it means and one of what it does not.

    Attributes
    ----------
    key : what its files are called, such as ``"overfitting"``.
    title : its heading.
    meaning : one plain sentence with the numbers that matter in it.
    limits : one plain sentence of what does not follow from it.
    rows : the table, all rows with the same columns; values are texts, numbers, truths or None.
    columns : what each column holds and its unit, by its name in the rows.
    draw : makes a new figure; None where a picture adds nothing.
    """

    key: str
    title: str
    meaning: str
    limits: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    draw: Callable[[], Figure] | None = None

    def __str__(self) -> str:
        return f"{self.title}: {self.meaning}"


class HasSections(Protocol):
    """An evaluation, findings, or anything else that is made of sections."""

    @property
    def sections(self) -> tuple[Section, ...]:
        """In the order in which they are read."""
