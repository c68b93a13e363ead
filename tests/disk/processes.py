"""Children that are killed just before their n-th step on the disk, of a small parent."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

#: What Python tells an audit hook of before it happens (docs.python.org, "Audit events table").
_STEPS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.scandir")


def in_a_small_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function where nothing else has been imported: there a child is made in a moment."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(function, *arguments).result()


def killed_before_step(step: int, work: Callable[[], None]) -> bool:
    """Run ``work`` in a child; whether it was killed before it came to its end."""
    child = os.fork()
    if child == 0:
        taken = [0]

        def hook(event: str, _: object) -> None:
            if event in _STEPS:
                taken[0] += 1
                if taken[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(70)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0
