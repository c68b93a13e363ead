"""What is refused, and why: the same from the list and from reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume


def refusal(path: Path) -> str:
    """The sentence about the one series there is."""
    return str(refused(path))


def refused(path: Path) -> UnsupportedStudyError:
    """What is raised about the one series there is; its sentence is the one in the list."""
    (series,) = list_series(path)
    assert series.unsupported is not None
    assert series.shape is None
    error = unreadable(path)
    assert str(error) == series.unsupported
    assert error.kind is getattr(series.unsupported, "kind", None)
    return error


def unreadable(path: Path) -> UnsupportedStudyError:
    """What is raised when the image is read, whether or not it can be listed."""
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    # The patient of the files made by hand.
    assert "Doe" not in str(caught.value)
    assert "4711" not in str(caught.value)
    return caught.value
