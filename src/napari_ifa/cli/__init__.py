"""The command line: the whole path without a viewer, and the way into it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_ifa.cli.cohort import run_analyze, run_evaluate, run_findings, run_report
from napari_ifa.cli.outputs import outputs_kept
from napari_ifa.cli.parser import EXIT_BAD_INPUT, command_parser
from napari_ifa.cli.streams import plain_streams
from napari_ifa.cli.study import run_demo, run_explain, run_series, run_view
from napari_ifa.disk import clear_leftovers
from napari_ifa.errors import ExistingOutputError, IfaError
from napari_ifa.memory import memory_said
from napari_ifa.plain import sentence

EXIT_UNEXPECTED = 1
#: Set to anything, it shows where an error came from that nobody expected.
_TRACEBACK = "NAPARI_IFA_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 with one line on standard error that says what is wrong.

    1 is for what should not happen: the line says how to find out more.
    """
    with plain_streams():
        try:
            run(arguments)
        except KeyboardInterrupt:
            return _refuse("Stopped.")
        except BrokenPipeError:
            # Whoever reads the output has read enough.
            return 0
        except ExistingOutputError as error:
            return _refuse(f"{error} The option for that is --overwrite.")
        except IfaError as error:
            return _refuse(str(error))
        except Exception as error:
            if os.environ.get(_TRACEBACK):
                raise
            if isinstance(error, OSError):
                why = error.strerror or "reading or writing failed"
                return _refuse(f"{_named(error.filename)}{why}.")
            # A traceback may name files and values of a patient.
            _refuse(
                f"The command failed in a way that nobody expected ({type(error).__name__}); set"
                f" {_TRACEBACK}=1 to see where, and report it."
            )
            return EXIT_UNEXPECTED
    return 0


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one command, for code.

    Raises
    ------
    IfaError
        With a ``kind``, of what `main` says in one line.
    SystemExit
        Where the words are no command.
    """
    parser = command_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(_too_much(rest))
    # What libraries warn about is for developers; what a person must know is said by us.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with (
        _ended_like_ctrl_c(
            waits_for_a_window=options.run is run_view or getattr(options, "view", False)
        ),
        memory_said(IfaError, "run this command", _SMALLER[options.run]),
    ):
        clear_leftovers()
        with outputs_kept(options):
            options.run(options)


#: What takes less memory, by command.
_SMALLER: dict[Callable[[argparse.Namespace], None], str] = {
    run_demo: "close other programs and try again",
    run_series: "list a part of the folder, or close other programs",
    run_analyze: "give --batch-size 1, fewer --workers, --profiles none or --device cpu",
    run_evaluate: "evaluate a part of the cohort (--split), or use --device cpu",
    run_findings: "use a computer with more memory, or an analysis made with --profiles none",
    run_report: "use a computer with more memory, or an analysis made with --profiles none",
    run_explain: "explain a smaller part of the image, by a smaller method (--method gradcam) or"
    " with --device cpu",
    run_view: "close other programs and try again",
}


@contextmanager
def _ended_like_ctrl_c(waits_for_a_window: bool) -> Iterator[None]:
    """Whoever ends the program or closes its terminal leaves no unpacked study behind.

    Qt's event loop would keep the signals from Python, so a window is left alone.
    """
    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if waits_for_a_window or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            # What nohup ignores stays ignored.
            if handler == signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _named(path: Any) -> str:
    """A file's bare name; nothing for a folder, which is often called by the patient."""
    return f"{Path(path).name}: " if isinstance(path, str) and os.path.isfile(path) else ""


def _too_much(words: Sequence[str]) -> str:
    """What a command does not take; paths are not repeated, for they may name a patient."""
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    if options:
        return f"there is no option {options[0]} here"
    return "more paths were given than are taken; give one folder, file or zip archive"


def _refuse(words: str) -> int:
    with suppress(OSError):
        print(f"napari-ifa: {sentence(words)}", file=sys.stderr)
    return EXIT_BAD_INPUT
