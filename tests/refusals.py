"""What is refused, and how: the same sentence from the list and from reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume


def refusal(path: Path) -> str:
    """The sentence about the one series there is."""
    (series,) = list_series(path)
    assert series.unsupported is not None
    assert series.shape is None
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert str(caught.value) == series.unsupported
    # The patient of the files made by hand.
    assert "Doe" not in series.unsupported
    assert "4711" not in series.unsupported
    return series.unsupported
