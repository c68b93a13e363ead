"""The commands for a cohort: analyze, evaluate, findings, report."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ifa.cli.arguments import checked_writable, loaded_classifier
from napari_ifa.cli.bar import Bar
from napari_ifa.errors import AnalysisError, Cancelled

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis, Cohort, Findings
    from napari_ifa.analysis.section import Section

#: Skipped cases and duplicates that are named on the terminal.
_MOST_NAMED = 5


def run_analyze(options: argparse.Namespace) -> None:
    """Analyse a cohort; what is finished of an interrupted analysis is kept beside its file."""
    from napari_ifa.analysis import analyze

    cohort = _cohort(options)
    checked_writable(options.out.parent)
    parts = options.out.with_name(f"{options.out.name}.parts")
    if parts.exists() and not options.resume:
        raise AnalysisError(
            f"An interrupted analysis lies in {parts}; go on with it by --resume, or remove it."
        )
    classifier = loaded_classifier(options)
    try:
        with Bar("cases") as bar:
            analysis = analyze(
                classifier,
                cohort,
                options.method,
                batch_size=options.batch_size,
                profiles=options.profiles,
                skip_up_to=options.skip_up_to,
                resume_dir=parts,
                workers=options.workers,
                scheduler=options.scheduler,
                progress=bar,
            )
        analysis.save(options.out)
    except KeyboardInterrupt:
        kept = len(list(parts.glob("shard_*")))
        if not kept:
            raise
        raise Cancelled(
            f"Stopped; what was finished is kept in {parts.name}: the same command with --resume"
            " goes on."
        ) from None
    finally:
        if not any(parts.glob("shard_*")):
            shutil.rmtree(parts, ignore_errors=True)
    analysis.dataset.close()
    shutil.rmtree(parts, ignore_errors=True)
    _say(analysis, cohort, options.out)


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluate an analysis' explanations on a cohort: tables and figures in a folder."""
    from napari_ifa.analysis import evaluate, load_analysis

    cohort = _cohort(options)
    checked_writable(options.out)
    classifier = loaded_classifier(options)
    analysis = load_analysis(options.analysis, classifier)
    with Bar("cases") as bar:
        evaluation = evaluate(
            classifier, analysis, cohort, options.top, basis=options.basis, progress=bar
        )
    _write(evaluation.sections, options.out)


def run_findings(options: argparse.Namespace) -> None:
    """Say what an analysis shows of its model: tables and figures in a folder."""
    from napari_ifa.analysis import findings, load_analysis

    if (options.bundle is None) != (options.cohort is None):
        raise AnalysisError(
            "Maps of the candidates and the accuracy without redundant features need the model and"
            " its cases: give --bundle and --cohort, or neither."
        )
    checked_writable(options.out)
    analysis = load_analysis(options.analysis)
    other = load_analysis(options.other) if options.other else None
    found = findings(analysis, other, top=options.top)
    more: list[Section] = []
    if options.bundle is not None:
        found, more = _with_model(options, analysis, found)
    _write([*found.sections, *more], options.out)


def _with_model(
    options: argparse.Namespace, analysis: Analysis, found: Findings
) -> tuple[Findings, list[Section]]:
    """What needs the model: the accuracy without redundant features, the candidates' maps."""
    from napari_ifa.analysis import FeatureMask
    from napari_ifa.analysis.evaluation.masked_accuracy import masked_predictions
    from napari_ifa.analysis.findings.confounder_maps import confounder_maps_section

    cohort = _cohort(options)
    classifier = loaded_classifier(options)
    analysis.check(classifier)
    masks = [FeatureMask.all(analysis.features), found.redundancy.mask]
    with Bar("cases") as bar:
        predicted = masked_predictions(classifier, cohort, masks, progress=bar)
    labelled = int((predicted.labels >= 0).sum())
    if labelled:
        every, without = predicted.accuracy()
        found = found.with_accuracy(float(every), float(without), labelled)
    if not found.confounders.ranked:
        return found, []
    return found, [confounder_maps_section(classifier, cohort, found)]


def run_report(options: argparse.Namespace) -> None:
    """Write everything that is known of an analysis into one HTML file."""
    from napari_ifa.analysis import findings, load_analysis
    from napari_ifa.analysis.summary import summary_sections
    from napari_ifa.html_report import write_report
    from napari_ifa.tables import read_sections

    checked_writable(options.out.parent)
    if options.tables:
        checked_writable(options.tables)
    analysis = load_analysis(options.analysis)
    other = load_analysis(options.other) if options.other else None
    evaluated = read_sections(options.evaluation) if options.evaluation else ()
    found = read_sections(options.findings) if options.findings else findings(analysis, other)
    if options.tables:
        _write(summary_sections(analysis, other), options.tables)
    print(write_report(options.out, analysis, other, evaluated, found))


def _cohort(options: argparse.Namespace) -> Cohort:
    from napari_ifa.analysis import read_cohort

    return read_cohort(options.cohort, options.split, options.root)


def _write(sections: Sequence[Section], folder: Path) -> None:
    from napari_ifa.tables import write_sections

    for section in sections:
        print(f"{section.title}: {section.meaning}")
    written = write_sections(sections, folder)
    print(f"{len(written)} files written to {folder}; begin with summary.md.")


def _say(analysis: Analysis, cohort: Cohort, out: Path) -> None:
    splits = f"split {cohort.split}" if cohort.split else "all splits"
    print(f"{len(analysis.case_ids)} cases ({splits}) analysed; written to {out}")
    for note in analysis.notes:
        print(note)
    _say_some("skipped", [f"{name}: {reason}" for name, reason in analysis.skipped])
    groups = [" = ".join(group) for group in analysis.duplicates]
    _say_some("images that stand in the cohort more than once", groups)


def _say_some(what: str, texts: Sequence[str]) -> None:
    if texts:
        more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
        print(f"{len(texts)} {what}: {'; '.join(texts[:_MOST_NAMED])}{more}")
