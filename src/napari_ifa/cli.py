"""The command line: the whole path without a viewer, and the way into it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ifa.errors import AnalysisError, IfaError

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis, Explanation, FeatureMask
    from napari_ifa.analysis.store import Basis
    from napari_ifa.models import Classifier

EXIT_BAD_INPUT = 2
# Spelt out, for the list itself comes with torch, which takes seconds to start.
_METHODS = (
    "gradcam (default), pixelwise, gradcam++, xgradcam, layercam, cam, scorecam, ss-cam, is-cam"
    " or smoothgradcam++; scorecam takes a pass for each feature, ss-cam and is-cam 35 and 10"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 2 with one line on standard error that says what is wrong."""
    options = _parser().parse_args(arguments)
    # What libraries warn about is for developers; what a person must know is said by us.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        options.run(options)
    except KeyboardInterrupt:
        return _refuse("Stopped.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except IfaError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{Path(error.filename or '').name}: {error.strerror or error}.")
    return 0


def _refuse(sentence: str) -> int:
    print(f"napari-ifa: {' '.join(sentence.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-ifa",
        description="What a deep-learning model based its answer on, on a scale that is the same"
        " for every patient.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="run the whole path on the sample data")
    demo.add_argument("--out", type=Path, default=Path("napari-ifa-demo"), metavar="DIR")
    demo.add_argument("--view", action="store_true", help="open napari on the outcome")
    demo.set_defaults(run=_demo)

    series = commands.add_parser("series", help="list the image series of a folder")
    series.add_argument("folder", type=Path)
    series.add_argument("--json", action="store_true", help="machine-readable list")
    series.set_defaults(run=_series)

    analyze = commands.add_parser("analyze", help="analyse a cohort with a model")
    _add_bundle(analyze, required=True)
    analyze.add_argument("--cohort", type=Path, required=True, help="MONAI datalist (JSON)")
    analyze.add_argument("--split", help="the datalist's key, such as training")
    analyze.add_argument("--root", type=Path, help="folder that the datalist's paths start from")
    analyze.add_argument("--method", default="gradcam", metavar="M", help=_METHODS)
    analyze.add_argument("--batch-size", type=int, default=4, metavar="N")
    analyze.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    analyze.set_defaults(run=_analyze)

    explain = commands.add_parser("explain", help="explain a model's answer for one image")
    _add_bundle(explain, required=True)
    explain.add_argument("image", type=Path, metavar="IMAGE", help="DICOM folder or file, NIfTI")
    explain.add_argument("--analysis", type=Path, help="gives the common scale")
    explain.add_argument(
        "--method", metavar="M", help="that of the analysis; without one, as with analyze"
    )
    explain.add_argument("--series", metavar="KEY", help="which series, where there are several")
    explain.add_argument("--class", dest="class_name", metavar="C", help="name or number")
    explain.add_argument(
        "--features",
        default="all",
        metavar="F",
        help="all (default), top:5%%, only:1,2 or not:3",
    )
    explain.add_argument(
        "--basis",
        choices=("voxels", "extremes"),
        default="voxels",
        help="the scale: P10 to P90 of all voxels of the cohort (default), or P50 of its cases'"
        " minima to P90 of their maxima, which suits evidence that fills little of the image",
    )
    explain.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    explain.set_defaults(run=_explain)

    view = commands.add_parser("view", help="open napari")
    view.add_argument("study", type=Path, nargs="?", metavar="STUDY")
    view.add_argument("--analysis", type=Path)
    _add_bundle(view, required=False)
    view.set_defaults(run=_view)
    return parser


def _add_bundle(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--bundle", type=Path, required=required, help="MONAI bundle folder")
    parser.add_argument("--layer", help="target layer; the recommended one by default")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--trust", action="store_true", help="run the bundle's own code; only if you know it"
    )


def _check_writable(folder: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it; nothing is left."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise IfaError(f"{folder}: cannot be written there; choose another folder.") from error


def _demo(options: argparse.Namespace) -> None:
    from napari_ifa.demo import run_demo

    _check_writable(options.out)
    outcome = run_demo(options.out, progress=_Bar)
    print(outcome.report)
    if options.view:
        _open_viewer(outcome.study, outcome.bundle, outcome.analysis, outcome.basis)


def _series(options: argparse.Namespace) -> None:
    from napari_ifa.volumes import list_series

    with _Bar("files") as bar:
        found = list_series(options.folder, progress=bar)
    if options.json:
        rows = [
            {
                "key": s.key,
                "number": s.number,
                "modality": s.modality,
                "description": s.description,
                "images": s.image_count,
                "shape_ipl": s.shape,
                "spacing_ipl_mm": s.spacing,
                "orientation": s.orientation,
                "unsupported": s.unsupported,
            }
            for s in found
        ]
        print(json.dumps(rows, indent=1))
        return
    for s in found:
        size = " × ".join(map(str, s.shape)) if s.shape else "–"
        spacing = " × ".join(f"{mm:.2f}" for mm in s.spacing) + " mm" if s.spacing else "–"
        images = f"{s.image_count} image{'' if s.image_count == 1 else 's'}"
        print(
            f"{s.key}  {s.modality or '–':3} {s.description or '–'}: {images}, {size},"
            f" {spacing}, {s.orientation or '–'}"
        )
        if s.unsupported:
            print(f"          not opened: {s.unsupported}")


def _analyze(options: argparse.Namespace) -> None:
    from napari_ifa.analysis import analyze, read_cohort

    if options.batch_size < 1:
        raise AnalysisError(f"A batch of {options.batch_size} cases is none; give 1 or more.")
    cohort = read_cohort(options.cohort, options.split, options.root)
    _check_writable(options.out.parent)
    classifier = _classifier(options)
    with _Bar("cases") as bar:
        analysis = analyze(
            classifier, cohort, options.method, batch_size=options.batch_size, progress=bar
        )
    analysis.save(options.out)
    splits = f"split {cohort.split}" if cohort.split else "all splits"
    print(f"{len(cohort)} cases ({splits}) analysed; written to {options.out}")


def _explain(options: argparse.Namespace) -> None:
    from napari_ifa.analysis import explain, load_analysis
    from napari_ifa.report import write_explanation
    from napari_ifa.volumes import read_volume

    _check_writable(options.out)
    classifier = _classifier(options)
    analysis = load_analysis(options.analysis, classifier) if options.analysis else None
    volume = read_volume(options.image, options.series)
    with _Bar("passes") as bar:
        explanation = explain(
            classifier,
            volume,
            analysis,
            options.class_name,
            method=options.method,
            basis=options.basis,
            progress=bar,
        )
    mask = parse_features(options.features, explanation, analysis)
    for path in write_explanation(explanation.select(mask=mask), options.out):
        print(path)
    if analysis is None:
        print(
            "No analysis was given, so there is no common scale: the map cannot be compared with"
            " another patient's."
        )
    if not mask.keep.all() and explanation.case.bypassed:
        print(
            f"Part of the answer goes around layer '{classifier.target_layer}': switching its"
            " features off does not show all that the answer rests on."
        )


def _view(options: argparse.Namespace) -> None:
    _open_viewer(options.study, options.bundle, options.analysis)


def _open_viewer(
    study: Path | None, bundle: Path | None, analysis: Path | None, basis: Basis = "voxels"
) -> None:
    try:
        from napari_ifa.viewer.contributions import open_viewer

        open_viewer(study=study, bundle=bundle, analysis=analysis, basis=basis, wait=True)
    except ImportError as error:
        raise IfaError(
            f"napari's window cannot be opened ({error}); install 'napari-ifa[all]'."
        ) from error


def _classifier(options: argparse.Namespace) -> Classifier:
    from napari_ifa.models import load_classifier

    return load_classifier(options.bundle, options.device, options.layer, options.trust)


def parse_features(text: str, explanation: Explanation, analysis: Analysis | None) -> FeatureMask:
    """A feature mask from the command line's words.

    Raises
    ------
    AnalysisError
        For words that say no mask, or a share of the top features without an analysis.
    """
    from napari_ifa.analysis import FeatureMask

    kind, _, rest = text.partition(":")
    try:
        if kind == "all" and not rest:
            return FeatureMask.all(explanation.features)
        if kind == "top":
            share = float(rest.removesuffix("%")) / 100 if rest.endswith("%") else float(rest)
            if not 0 < share <= 1:
                raise ValueError(rest)
            if analysis is None:
                raise AnalysisError(
                    "The top features are those of a cohort; give its analysis with --analysis."
                )
            return analysis.principal_features(explanation.class_idx, share)
        if kind in ("only", "not"):
            numbers = [int(number) for number in rest.split(",")]
            make = FeatureMask.only if kind == "only" else FeatureMask.without
            return make(explanation.features, numbers)
    except ValueError:
        pass
    raise AnalysisError(
        f"'{text}' says no choice of features; write all, top:5%, only:1,2 or not:3."
    )


class _Bar:
    """A progress bar with rate and time left on standard error; nothing where it is no terminal."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        from tqdm import tqdm

        self._bar = tqdm(unit=f" {self._unit}", disable=None, leave=False)
        return self._update

    def _update(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


if __name__ == "__main__":
    sys.exit(main())
