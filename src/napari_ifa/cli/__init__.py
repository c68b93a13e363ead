"""The command line: the whole path without a viewer, and the way into it."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from napari_ifa.cli.arguments import percentiles, share
from napari_ifa.cli.cohort import run_analyze, run_evaluate, run_findings, run_report
from napari_ifa.cli.outputs import add_overwrite, outputs_kept
from napari_ifa.cli.plain import plain
from napari_ifa.cli.study import run_demo, run_explain, run_series, run_view
from napari_ifa.disk import clear_leftovers
from napari_ifa.errors import ExistingOutputError, IfaError

EXIT_BAD_INPUT = 2
# Spelt out, for the list itself comes with torch, which takes seconds to start.
METHODS = (
    *("gradcam", "pixelwise", "gradcam++", "xgradcam", "layercam", "cam"),
    *("scorecam", "ss-cam", "is-cam", "smoothgradcam++"),
)
_METHODS = (
    f"{METHODS[0]} (default), {', '.join(METHODS[1:-1])} or {METHODS[-1]}; scorecam takes a pass"
    " for each feature, ss-cam and is-cam 35 and 10"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 with one line on standard error that says what is wrong."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        parser.error(_too_much(rest))
    # What libraries warn about is for developers; what a person must know is said by us.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # A description may hold characters that the terminal lacks, a name ones that no one has.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _ended_like_ctrl_c(
            waits_for_a_window=options.run is run_view or getattr(options, "view", False)
        ):
            clear_leftovers()
            with outputs_kept(options):
                options.run(options)
    except KeyboardInterrupt:
        return _refuse("Stopped.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ExistingOutputError as error:
        return _refuse(f"{error} The option for that is --overwrite.")
    except IfaError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{_named(error.filename)}{error.strerror or 'reading or writing failed'}.")
    return 0


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


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(EXIT_BAD_INPUT, f"napari-ifa: {message}; --help shows what can be given.\n")


def _refuse(sentence: str) -> int:
    print(f"napari-ifa: {' '.join(plain(sentence).split())}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="napari-ifa",
        description="What a deep-learning model based its answer on, on a scale that is the same"
        " for every patient.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="run the whole path on the sample data")
    demo.add_argument("--out", type=Path, default=Path("napari-ifa-demo"), metavar="DIR")
    demo.add_argument("--view", action="store_true", help="open napari on the outcome")
    add_overwrite(demo)
    demo.set_defaults(run=run_demo)

    series = commands.add_parser(
        "series", help="list the image series of a folder, zip archive, DICOMDIR or file"
    )
    series.add_argument("folder", type=Path, help="or a zip archive, a DICOMDIR or a file")
    series.add_argument("--json", action="store_true", help="machine-readable list")
    series.set_defaults(run=run_series)

    analyze = commands.add_parser("analyze", help="analyse a cohort with a model")
    _add_bundle(analyze, required=True)
    _add_cohort(analyze)
    analyze.add_argument("--method", default="gradcam", metavar="M", help=_METHODS)
    analyze.add_argument(
        "--batch-size", type=int, metavar="N", help="by default what suits the images' size"
    )
    analyze.add_argument(
        "--profiles",
        choices=("float32", "float16", "none"),
        default="float32",
        help="how each case's contributions are kept; without them no outliers can be found",
    )
    _add_skip(analyze)
    analyze.add_argument(
        "--resume", action="store_true", help="go on with an interrupted analysis of this file"
    )
    where = analyze.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes of this machine")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786"
    )
    analyze.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    add_overwrite(analyze)
    analyze.set_defaults(run=run_analyze)

    evaluate = commands.add_parser(
        "evaluate", help="how well explanations and principal features fit the model's answers"
    )
    _add_bundle(evaluate, required=True)
    evaluate.add_argument("--analysis", type=Path, required=True, metavar="A")
    _add_cohort(evaluate)
    _add_skip(evaluate)
    _add_top(evaluate)
    _add_basis(evaluate)
    evaluate.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    add_overwrite(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    findings = commands.add_parser(
        "findings",
        help="overfitting, confounders, outliers, redundancy of an analysis",
        description="With --bundle and --cohort also maps of the confounder candidates (on the"
        " cases analysed) and what accuracy loses without features (best on others).",
    )
    findings.add_argument("analysis", type=Path, metavar="A", help="of the training cohort")
    findings.add_argument(
        "other", type=Path, nargs="?", metavar="OTHER", help="of the test cohort, by the same model"
    )
    _add_bundle(findings, required=False)
    _add_cohort(findings, required=False)
    _add_skip(findings)
    _add_top(findings)
    findings.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    add_overwrite(findings)
    findings.set_defaults(run=run_findings)

    report = commands.add_parser("report", help="all of an analysis in one HTML file")
    report.add_argument("analysis", type=Path, metavar="A")
    report.add_argument("other", type=Path, nargs="?", metavar="OTHER", help="of the test cohort")
    report.add_argument("--evaluation", type=Path, metavar="DIR", help="written by evaluate")
    report.add_argument(
        "--findings", type=Path, metavar="DIR", help="written by findings; made anew without it"
    )
    report.add_argument(
        "--tables",
        type=Path,
        metavar="DIR",
        help="also write the tables and figures of cohort, accuracy, scale and importance there",
    )
    report.add_argument("-o", "--out", type=Path, default=Path("report.html"), metavar="FILE")
    add_overwrite(report)
    report.set_defaults(run=run_report)

    explain = commands.add_parser("explain", help="explain a model's answer for one image")
    _add_bundle(explain, required=True)
    explain.add_argument(
        "image",
        type=Path,
        metavar="IMAGE",
        help="DICOM folder or file, zip archive, DICOMDIR, NIfTI, PNG or JPEG",
    )
    explain.add_argument("--analysis", type=Path, help="gives the common scale")
    explain.add_argument(
        "--method",
        metavar="M",
        help="that of the analysis; without one, as with analyze",
    )
    explain.add_argument("--series", metavar="KEY", help="which series, where there are several")
    explain.add_argument(
        "--allow-missing",
        action="store_true",
        help="explain an image of which slices are missing, too",
    )
    explain.add_argument("--class", dest="class_name", metavar="C", help="name or number")
    explain.add_argument(
        "--features",
        default="all",
        metavar="F",
        help="all (default), top:5%%, only:1,2 or not:3",
    )
    _add_basis(explain)
    explain.add_argument(
        "--percentiles",
        type=percentiles,
        default=(None, 90.0),
        metavar="LOW,HIGH",
        help="of the scale in place of these, such as 5,95",
    )
    explain.add_argument(
        "--scope",
        choices=("class", "all"),
        default="class",
        help="a scale for this class (default), or one for all classes, which then compare",
    )
    explain.add_argument(
        "--dicom",
        action="store_true",
        help="also a DICOM Parametric Map and a Secondary Capture series; of DICOM images",
    )
    explain.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    add_overwrite(explain)
    explain.set_defaults(run=run_explain)

    view = commands.add_parser("view", help="open napari")
    view.add_argument("study", type=Path, nargs="?", metavar="STUDY")
    view.add_argument("--analysis", type=Path)
    _add_bundle(view, required=False)
    view.set_defaults(run=run_view)
    return parser


def _add_bundle(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--bundle", type=Path, required=required, help="MONAI bundle folder")
    parser.add_argument("--layer", help="target layer; the recommended one by default")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--trust", action="store_true", help="run the bundle's own code; only if you know it"
    )
    parser.add_argument(
        "--activation",
        choices=("softmax", "sigmoid", "none"),
        help="how outputs become probabilities, where the bundle does not say it; none: they are"
        " values",
    )


def _add_cohort(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "--cohort",
        type=Path,
        required=required,
        help="MONAI datalist (JSON), CSV table, folder with one folder per class, idx or npz file",
    )
    parser.add_argument("--split", help="such as training or test; all by default")
    parser.add_argument("--root", type=Path, help="folder that the list's paths start from")


def _add_skip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-up-to",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="cases that may be unusable before the work is refused; 5%% by default",
    )


def _add_top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--top",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of the features that count as principal; 5%% by default",
    )


def _add_basis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--basis",
        choices=("voxels", "extremes"),
        default="voxels",
        help="the scale: P10 to P90 of all voxels of the cohort (default), or P50 of its cases'"
        " minima to P90 of their maxima, which suits evidence that fills little of the image",
    )
