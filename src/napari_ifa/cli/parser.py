"""What can be given on the command line: the commands and their options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from napari_ifa.cli.arguments import (
    FeatureChoice,
    cases_at_a_time,
    features,
    percentiles,
    place,
    share,
    workers,
)
from napari_ifa.cli.cohort import run_analyze, run_evaluate, run_findings, run_report
from napari_ifa.cli.outputs import add_overwrite
from napari_ifa.cli.study import run_demo, run_explain, run_series, run_view
from napari_ifa.plain import sentence

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


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        said = sentence(f"{message}; --help shows what can be given.")
        self.exit(EXIT_BAD_INPUT, f"napari-ifa: {said}\n")


def command_parser() -> argparse.ArgumentParser:
    """The parser of ``napari-ifa``; what it parses has the command's function as ``run``."""
    parser = _Parser(
        prog="napari-ifa",
        description="What a deep-learning model based its answer on, on a scale that is the same"
        " for every patient.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="run the whole path on the sample data")
    demo.add_argument("--out", type=place, default=Path("napari-ifa-demo"), metavar="DIR")
    demo.add_argument("--view", action="store_true", help="open napari on the outcome")
    add_overwrite(demo)
    demo.set_defaults(run=run_demo)

    series = commands.add_parser(
        "series", help="list the image series of a folder, zip archive, DICOMDIR or file"
    )
    series.add_argument("folder", type=place, help="or a zip archive, a DICOMDIR or a file")
    series.add_argument("--json", action="store_true", help="machine-readable list")
    series.set_defaults(run=run_series)

    analyze = commands.add_parser("analyze", help="analyse a cohort with a model")
    _add_bundle(analyze, required=True)
    _add_cohort(analyze)
    analyze.add_argument("--method", default="gradcam", metavar="M", help=_METHODS)
    analyze.add_argument(
        "--batch-size",
        type=cases_at_a_time,
        metavar="N",
        help="by default what suits the images' size",
    )
    analyze.add_argument(
        "--profiles",
        choices=("float32", "float16", "none"),
        default="float32",
        help="how each case's contributions are kept; without them no outliers can be found",
    )
    _add_skip(analyze)
    analyze.add_argument(
        "--compare-with",
        action="append",
        metavar="C",
        help="also count every class against this one, by name or number; may be given again."
        " Against all others and the runner-up they are counted anyway",
    )
    analyze.add_argument(
        "--resume", action="store_true", help="go on with an interrupted analysis of this file"
    )
    where = analyze.add_mutually_exclusive_group()
    where.add_argument("--workers", type=workers, metavar="N", help="processes of this machine")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786"
    )
    analyze.add_argument("-o", "--out", type=place, required=True, metavar="FILE")
    add_overwrite(analyze)
    analyze.set_defaults(run=run_analyze)

    evaluate = commands.add_parser(
        "evaluate", help="how well explanations and principal features fit the model's answers"
    )
    _add_bundle(evaluate, required=True)
    evaluate.add_argument("--analysis", type=place, required=True, metavar="A")
    _add_cohort(evaluate)
    _add_skip(evaluate)
    _add_top(evaluate)
    _add_scale(evaluate)
    _add_target(evaluate)
    evaluate.add_argument("-o", "--out", type=place, required=True, metavar="DIR")
    add_overwrite(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    findings = commands.add_parser(
        "findings",
        help="overfitting, confounders, outliers, redundancy of an analysis",
        description="With --bundle and --cohort also maps of the confounder candidates (on the"
        " cases analysed) and what accuracy loses without features (best on others).",
    )
    findings.add_argument("analysis", type=place, metavar="A", help="of the training cohort")
    findings.add_argument(
        "other",
        type=place,
        nargs="?",
        metavar="OTHER",
        help="of the test cohort, by the same model",
    )
    _add_bundle(findings, required=False)
    _add_cohort(findings, required=False)
    _add_skip(findings)
    _add_top(findings)
    _add_target(findings)
    findings.add_argument("-o", "--out", type=place, required=True, metavar="DIR")
    add_overwrite(findings)
    findings.set_defaults(run=run_findings)

    report = commands.add_parser("report", help="all of an analysis in one HTML file")
    report.add_argument("analysis", type=place, metavar="A")
    report.add_argument("other", type=place, nargs="?", metavar="OTHER", help="of the test cohort")
    _add_target(report)
    report.add_argument("--evaluation", type=place, metavar="DIR", help="written by evaluate")
    report.add_argument(
        "--findings", type=place, metavar="DIR", help="written by findings; made anew without it"
    )
    report.add_argument(
        "--tables",
        type=place,
        metavar="DIR",
        help="also write the tables and figures of cohort, accuracy, scale and importance there",
    )
    report.add_argument("-o", "--out", type=place, default=Path("report.html"), metavar="FILE")
    add_overwrite(report)
    report.set_defaults(run=run_report)

    explain = commands.add_parser("explain", help="explain a model's answer for one image")
    _add_bundle(explain, required=True)
    explain.add_argument(
        "image",
        type=place,
        metavar="IMAGE",
        help="DICOM folder or file, zip archive, DICOMDIR, NIfTI, PNG or JPEG",
    )
    explain.add_argument("--analysis", type=place, help="gives the common scale")
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
        type=features,
        default=FeatureChoice(),
        metavar="F",
        help="all (default), top:5%%, only:1,2 or not:3",
    )
    _add_scale(explain, "centred; paper where --percentiles are given")
    _add_target(explain, "others behind a softmax, else logit")
    explain.add_argument(
        "--percentiles",
        type=percentiles,
        metavar="LOW,HIGH",
        help="of the paper's scale in place of these, such as 5,95",
    )
    explain.add_argument(
        "--dicom",
        action="store_true",
        help="also a DICOM Parametric Map and a Secondary Capture series; of DICOM images",
    )
    explain.add_argument("-o", "--out", type=place, required=True, metavar="DIR")
    add_overwrite(explain)
    explain.set_defaults(run=run_explain)

    view = commands.add_parser("view", help="open napari")
    view.add_argument("study", type=place, nargs="?", metavar="STUDY")
    view.add_argument("--analysis", type=place)
    _add_bundle(view, required=False)
    view.set_defaults(run=run_view)
    return parser


def _add_bundle(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--bundle", type=place, required=required, help="MONAI bundle folder")
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
        type=place,
        required=required,
        help="MONAI datalist (JSON), CSV table, folder with one folder per class, idx or npz file",
    )
    parser.add_argument("--split", help="such as training or test; all by default")
    parser.add_argument("--root", type=place, help="folder that the list's paths start from")


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


def _add_scale(parser: argparse.ArgumentParser, usual: str = "paper") -> None:
    parser.add_argument(
        "--scale",
        choices=("paper", "centred"),
        help="paper: P10 to P90 become 0.1 and 0.9; centred: zero stays zero, and one colour is"
        f" the same evidence for and against (default: {usual})",
    )
    parser.add_argument(
        "--basis",
        choices=("voxels", "extremes", "auto"),
        help="what sets the scale: all voxels of the cohort (default of paper), its cases' least"
        " and greatest values, which suits evidence that fills little of the image, or auto, the"
        " one that suits the evidence (default of centred)",
    )
    parser.add_argument(
        "--scope",
        choices=("class", "all"),
        default="class",
        help="a scale for this class (default), or one for all classes, which then compare",
    )


def _add_target(parser: argparse.ArgumentParser, usual: str = "logit") -> None:
    parser.add_argument(
        "--compare-with",
        metavar="T",
        help="what a class is compared with: logit (nothing), others, runner-up, or a class by name"
        f" or number that the analysis has counted (default: {usual})",
    )
