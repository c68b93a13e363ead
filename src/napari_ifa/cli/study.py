"""The commands for one study: demo, series, explain, view."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ifa.cli.arguments import loaded_classifier, scale_choice
from napari_ifa.cli.bar import progress_bar
from napari_ifa.cli.outputs import refuse_existing, reserve_folder
from napari_ifa.cli.problems import CommandProblem
from napari_ifa.cli.streams import say
from napari_ifa.errors import AnalysisError, IfaError
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from napari_ifa.reading import Series


def run_demo(options: argparse.Namespace) -> None:
    from napari_ifa.cli.demo import run_demo as whole_path
    from napari_ifa.viewer.display import check_display

    reserve_folder(options, options.out)
    if options.out.is_dir() and any(options.out.iterdir()):
        refuse_existing(options, options.out)
    if options.view:
        check_display()
    outcome = whole_path(options.out, progress=progress_bar, overwrite=options.overwrite)
    print(outcome.report)
    if options.view:
        _open_viewer(outcome.study, outcome.bundle, outcome.analysis)


def run_series(options: argparse.Namespace) -> None:
    from napari_ifa.reading import list_series

    with progress_bar("files") as bar:
        found = list_series(options.folder, progress=bar)
    if options.json:
        left_out = [asdict(entry) for entry in found.skipped]
        print(json.dumps({"series": [_as_row(s) for s in found], "skipped": left_out}, indent=1))
        return
    for s in found:
        first, *rest = _in_words(s)
        say(first)
        for line in rest:
            say(f"          {line}")
    if found.skipped:
        reasons = ", ".join(f"{entry.count} {entry.reason}" for entry in found.skipped)
        say(f"Left out: {reasons}.")


def _as_row(series: Series) -> dict[str, Any]:
    return {
        "key": series.key,
        "kind": series.kind,
        "number": series.number,
        "study": series.study,
        "study_date": series.study_date,
        "modality": series.modality,
        "description": series.description,
        "part": series.part,
        "images": series.image_count,
        "shape_ipl": series.shape,
        "spacing_ipl_mm": series.spacing,
        "orientation": series.orientation,
        "unsupported": series.unsupported,
        "question": series.question,
        "alternative": series.alternative,
        "notes": series.notes,
    }


def _in_words(series: Series) -> list[str]:
    size = " × ".join(map(str, series.shape)) if series.shape else "–"
    spacing = "–"
    if series.spacing:
        spacing = " × ".join(f"{mm:.2f}" for mm in series.spacing) + " mm"
    number = "" if series.number is None else f"{series.number} "
    name = ", ".join(filter(None, (series.description, series.part))) or "–"
    study = f" ({series.study_words})" if series.study_words else ""
    images = counted(series.image_count, "image")
    lines = [
        f"{series.key}  {series.modality or '–':3} {number}{name}{study}: {images}, {size},"
        f" {spacing}, {series.orientation or '–'}"
    ]
    if series.unsupported:
        lines.append(f"not opened: {series.unsupported}")
    if series.question:
        lines.append(f"asks first: {series.question}")
    if series.alternative:
        lines.append("another way to see an image of this list; opened only by its key")
    return lines + [f"note: {note}" for note in series.notes]


@contextmanager
def _choice_by_option() -> Iterator[None]:
    """Add to a sentence about choices how one is made here."""
    from napari_ifa.reading.problems import StudyProblem
    from napari_ifa.volumes.problems import ImageProblem

    options = {
        StudyProblem.SEVERAL_SERIES: "--series KEY",
        StudyProblem.ASKS_FIRST: "--series KEY",
        ImageProblem.MISSING_SLICES: "--allow-missing",
    }
    try:
        yield
    except IfaError as error:
        if error.kind not in options:
            raise
        sentence = f"{error} The option for that is {options[error.kind]}."
        raise type(error)(sentence, error.kind, **error.facts) from error


def run_explain(options: argparse.Namespace) -> None:
    from napari_ifa.analysis import explain, load_analysis
    from napari_ifa.analysis.reading import reading_target
    from napari_ifa.disk import whole_folder
    from napari_ifa.export import check_dicom_source
    from napari_ifa.export.explanation import (
        earlier_maps,
        scale_notes,
        write_dicom,
        write_explanation,
    )
    from napari_ifa.reading import read_volume

    of_scale = (options.percentiles, options.scale, options.basis)
    if options.analysis is None and (any(of_scale) or options.scope != "class"):
        raise AnalysisError(CommandProblem.SCALE_OF_NO_COHORT)
    choice = scale_choice(options, for_reading=True)
    reserve_folder(options, options.out)
    classifier = loaded_classifier(options)
    name = options.class_name
    classes = (
        classifier.class_names
        if name is None
        else [classifier.class_names[classifier.class_index(name)]]
    )
    for there in earlier_maps(options.out, classes, options.features.name):
        refuse_existing(options, there)
    analysis = load_analysis(options.analysis, classifier) if options.analysis else None
    target, lacking = reading_target(classifier, analysis)
    if options.compare_with is not None:
        target, lacking = options.compare_with, ""
    options.features.check(classifier.features, analysis)
    with _choice_by_option():
        volume = read_volume(options.image, options.series)
    if options.dicom:
        check_dicom_source(volume)
    with _choice_by_option(), progress_bar("passes") as bar:
        explanation = explain(
            classifier,
            volume,
            analysis,
            options.class_name,
            method=options.method,
            basis=choice.basis,
            low=choice.low,
            high=choice.high,
            scope=choice.scope,
            form=choice.form,
            target=target,
            allow_missing=options.allow_missing,
            progress=bar,
        )
    mask = options.features.mask(explanation, explanation.analysis)
    chosen = explanation.select(mask=mask)
    with whole_folder(options.out, overwrite=options.overwrite) as place:
        written = write_explanation(chosen, place)
        if options.dicom:
            with progress_bar("pictures") as bar:
                written += write_dicom(chosen, place, progress=bar)
    for path in written:
        say(str(options.out / path.name))
    fit = () if chosen.fit is None else chosen.fit.sentences
    of_map = (*chosen.map_notes, *scale_notes(chosen), lacking)
    for note in (*volume.report.notes, *chosen.case.notes, *of_map, *fit):
        if note:
            say(note)
    if volume.report.missing:
        print("The model was run on the blank slices too, for --allow-missing was given.")
    if options.dicom and not volume.source.placed:
        print("No Parametric Map was written, for the image states no place in the patient.")
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


def run_view(options: argparse.Namespace) -> None:
    from napari_ifa.analysis.opening import existing_analysis
    from napari_ifa.models.bundle import check_device, existing_bundle
    from napari_ifa.reading.places import existing_path
    from napari_ifa.viewer.display import check_display

    if options.study is not None:
        existing_path(options.study)
    if options.analysis is not None:
        existing_analysis(options.analysis)
    how = {
        "layer": options.layer,
        "device": options.device,
        "trust": options.trust,
        "activation": options.activation,
    }
    if options.bundle is not None:
        existing_bundle(options.bundle)
        check_device(options.device)
    elif any(how.values()):
        raise IfaError(CommandProblem.NEEDS_A_BUNDLE)
    check_display()
    _open_viewer(options.study, options.bundle, options.analysis, **how)


def _open_viewer(
    study: Path | None, bundle: Path | None, analysis: Path | None, **how: Any
) -> None:
    try:
        from napari_ifa.viewer.contributions import open_viewer

        open_viewer(study=study, bundle=bundle, analysis=analysis, wait=True, **how)
    except ImportError as error:
        raise IfaError(CommandProblem.NO_WINDOW, error=error) from error
