"""How the series list is ordered: the images of one series together, other views below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ifa.reading import Series


@dataclass(frozen=True)
class SeriesGroup:
    """One row at the top of the list, and what stands below it.

    Attributes
    ----------
    images : the image of the series, or several that differ in ``part``.
    alternatives : other ways to see them.
    """

    images: tuple[Series, ...]
    alternatives: tuple[Series, ...] = ()

    @property
    def first(self) -> Series:
        """What number, modality and description are taken from."""
        return (self.images or self.alternatives)[0]


def group_series(found: Sequence[Series]) -> list[SeriesGroup]:
    """Group what was found, in the order it was found in.

    Images of one series differ in ``part``; where two of them do not, they are of two series
    that merely have the same name, and each stands alone.
    """
    together: dict[tuple[object, ...], list[Series]] = {}
    for series in found:
        together.setdefault(_identity(series), []).append(series)
    groups: list[SeriesGroup] = []
    for members in together.values():
        images = [series for series in members if not series.alternative]
        others = tuple(series for series in members if series.alternative)
        parts = {series.part for series in images}
        if len(images) < 2 or (len(parts) == len(images) and "" not in parts):
            groups.append(SeriesGroup(tuple(images), others))
        else:
            groups += [SeriesGroup((series,)) for series in images]
            groups += [SeriesGroup((), (series,)) for series in others]
    return groups


def _identity(series: Series) -> tuple[object, ...]:
    uid = series.frames[0].image.series_instance_uid if series.frames else ""
    # A NIfTI file is a series of its own, whatever it is called.
    place: Path | None = series.path if series.kind != "dicom" else None
    # Several patients may share one series UID; a row must not say one's study of the other.
    name = (series.number, series.modality, series.description)
    return series.kind, series.study, *name, uid, place
