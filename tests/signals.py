"""A child process that hears the signals sent to it."""

from __future__ import annotations

import signal


def heard() -> None:
    """Run in the child before its program: nohup and background jobs let signals be ignored, and
    children take that over."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
