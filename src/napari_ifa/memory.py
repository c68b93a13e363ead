"""Too little memory: how it is told from other failures, and how much there is.

Every library says it in its own way, some in the text alone. What a limit of the process or of its
container leaves is all there is, whatever the machine has.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Said by torch's allocators (which raise a RuntimeError on the CPU and MPS), CUDA and its
#: libraries, C++, numpy, zlib, HDF5 and the system.
_SAID = re.compile(
    r"can't allocate memory|cannot allocate memory|unable to allocate|out of memory"
    r"|not enough memory|insufficient memory|bad[_ ]alloc|memory allocation failed"
    r"|ALLOC_FAILED|failed to allocate",
    re.IGNORECASE,
)
_HOW_MUCH = re.compile(r"(?:allocate|allocating)\s+([\d.]+)\s*([KMGTP]?i?B|bytes)", re.IGNORECASE)
_UNITS = {"b": 1, "bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50}
_SAID_ALREADY = "not enough memory"
#: What a container of this process may hold: version 2 and 1 of Linux' control groups.
CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def lacks_memory(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from, says that memory did not suffice."""
    return any(_says_so(one) for one in _chain(error))


@contextmanager
def memory_said(kind: type[Exception], work: str, advice: str) -> Iterator[None]:
    """Too little memory in this block, or in the function it decorates, is one sentence.

    Also where a reader on the way took it for damage. ``work`` is what could not be done,
    ``advice`` what would fit. Other errors pass.
    """
    try:
        yield
    except Exception as error:
        if _SAID_ALREADY in str(error) or not lacks_memory(error):
            raise
        more = f" ({needed} more were needed)" if (needed := _needed(error)) else ""
        raise kind(f"There is {_SAID_ALREADY} to {work}{more}; {advice}.") from error


def _needed(error: BaseException) -> str:
    """How much was asked for in vain, as people read it; empty where that is not said."""
    for one in _chain(error):
        if _says_so(one) and (found := _HOW_MUCH.search(str(one))):
            needed = float(found[1].rstrip(".") or 0) * _UNITS.get(found[2].lower(), 1)
            if needed >= 2**20:
                return in_gib(needed)
    return ""


def in_gib(size: float) -> str:
    """Bytes as people read them."""
    if size < 2**20:
        return f"{size / 2**10:,.0f} KiB"
    if size < 2**30 / 10:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**30:,.1f}".removesuffix(".0") + " GiB"


def total_memory() -> int:
    """Bytes that this process may ever hold: of the computer, its container or a limit given."""
    import psutil

    return min([int(psutil.virtual_memory().total), *_limits()])


def free_memory() -> int:
    """Bytes that are free now, of those that this process may hold."""
    import psutil

    held = psutil.Process().memory_info().rss
    left = [limit - held for limit in _limits()]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def _limits() -> Iterator[int]:
    for name in CONTAINER_LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            yield int(text)
    try:
        import resource
    except ImportError:  # Windows knows no such limits
        return
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # A sentence of this project may speak of memory and mean another thing.
    return type(error).__module__.partition(".")[0] != "napari_ifa" and bool(
        _SAID.search(str(error))
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from or while handling."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
