"""What a block is refused for: the kind of the error and the facts in it, whatever the sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import pytest

from napari_ifa.errors import IfaError


@contextmanager
def refused(
    error: type[IfaError], kind: Enum, /, **facts: Any
) -> Iterator[pytest.ExceptionInfo[IfaError]]:
    """The block raises an `error` of this kind, and these of its facts have these values.

    Its sentence is one line that ends as a sentence does.
    """
    with pytest.raises(error) as caught:
        yield caught
    assert caught.value.kind is kind
    assert {name: caught.value.facts[name] for name in facts} == facts
    text = str(caught.value)
    assert text.isprintable()
    assert text.endswith((".", "?"))
