"""The commands for a cohort: analyze, evaluate, findings, report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ifa.cli.arguments import loaded_classifier, scale_choice
from napari_ifa.cli.bar import progress_bar
from napari_ifa.cli.outputs import is_within, refuse_existing, reserve_file, reserve_folder
from napari_ifa.cli.problems import CommandProblem
from napari_ifa.cli.streams import say
from napari_ifa.errors import AnalysisError, Cancelled

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis
    from napari_ifa.cohorts import Cohort
    from napari_ifa.evaluation.findings import Findings
    from napari_ifa.evaluation.findings_with_model import ModelFindings
    from napari_ifa.evaluation.section import Section
    from napari_ifa.evaluation.summary.provenance import Command
    from napari_ifa.export.tables import TracedSections
    from napari_ifa.models import Classifier

#: Skipped cases and duplicates that are named on the terminal.
_MOST_NAMED = 5


def run_analyze(options: argparse.Namespace) -> None:
    """Analyse a cohort; what is finished of an interrupted analysis is kept beside its file."""
    from napari_ifa.analysis import (
        analyze,
        finished_cases,
        finished_parts,
        is_same_work,
        remove_parts,
    )

    reserve_file(options, options.out, "analysis", "cohort.nc")
    cohort = _cohort(options)
    parts = options.out.with_name(f"{options.out.name}.parts")
    kept_parts = finished_parts(parts)
    if kept_parts and not options.resume:
        raise AnalysisError(CommandProblem.PARTS_LIE_THERE, parts=parts)
    if options.resume and not kept_parts:
        raise AnalysisError(CommandProblem.NOTHING_TO_RESUME, file=parts.name)
    classifier = loaded_classifier(options)
    targets = None
    if options.compare_with:
        targets = [*classifier.targets, *map(classifier.target, options.compare_with)]
    work = (classifier, cohort, options.method, options.profiles, targets)
    if not is_same_work(options.out, *work):
        refuse_existing(options, options.out)
    try:
        with progress_bar("cases") as bar:
            analysis = analyze(
                classifier,
                cohort,
                options.method,
                batch_size=options.batch_size,
                profiles=options.profiles,
                skip_up_to=options.skip_up_to,
                targets=targets,
                resume_dir=parts,
                workers=options.workers,
                scheduler=options.scheduler,
                progress=bar,
            )
        analysis.save(options.out, overwrite=True)
    except KeyboardInterrupt:
        kept = finished_cases(parts)
        if not kept:
            raise
        raise Cancelled(
            f"Stopped after {kept} of {len(cohort)} cases, which are kept in {parts.name}; the same"
            " command with --resume goes on."
        ) from None
    finally:
        if not finished_parts(parts):
            remove_parts(parts)
    analysis.dataset.close()
    remove_parts(parts)
    _say(analysis, cohort, options.out)


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluate an analysis' explanations on a cohort: tables and figures in a folder."""
    from napari_ifa.evaluation import evaluate
    from napari_ifa.evaluation.summary.provenance import evaluated_on, provenance_of

    reserve_folder(options, options.out)
    cohort = _cohort(options)
    classifier = loaded_classifier(options)
    analysis = _compared(options.analysis, options, classifier)
    choice = scale_choice(options)
    provenance = provenance_of("evaluate", analysis, top=options.top)
    provenance |= evaluated_on(cohort, choice)
    _check_folder(options, options.out, provenance)
    with progress_bar("cases") as bar:
        evaluation = evaluate(
            classifier,
            analysis,
            cohort,
            options.top,
            basis=choice.basis,
            form=choice.form,
            scope=choice.scope,
            skip_up_to=options.skip_up_to,
            progress=bar,
        )
    _write(evaluation.sections, options.out, provenance)


def run_findings(options: argparse.Namespace) -> None:
    """Say what an analysis shows of its model: tables and figures in a folder."""
    from napari_ifa.evaluation.findings import findings
    from napari_ifa.evaluation.findings_with_model import findings_with_model
    from napari_ifa.evaluation.summary.provenance import provenance_of

    if (options.bundle is None) != (options.cohort is None):
        raise AnalysisError(CommandProblem.HALF_A_MODEL)
    reserve_folder(options, options.out)
    analysis = _compared(options.analysis, options)
    other = _compared(options.other, options) if options.other else None
    provenance = provenance_of("findings", analysis, other, options.top)
    _check_folder(options, options.out, provenance)
    if options.bundle is None:
        found: Findings | ModelFindings = findings(analysis, other, top=options.top)
        if not analysis.is_regression:
            print(
                "Redundancy is not measured: that takes the model and labelled cases, best ones"
                " that it was not trained on; give --bundle and --cohort."
            )
    else:
        cohort, classifier = _cohort(options), loaded_classifier(options)
        with progress_bar("cases, each twice") as bar:
            found = findings_with_model(
                classifier,
                analysis,
                cohort,
                other,
                top=options.top,
                skip_up_to=options.skip_up_to,
                progress=bar,
            )
        if found.maps_left_out:
            say(f"Maps of the candidates are left out: {found.maps_left_out}")
    _write(found.sections, options.out, provenance)


def run_report(options: argparse.Namespace) -> None:
    """Write everything that is known of an analysis into one HTML file."""
    from napari_ifa.evaluation.findings import findings
    from napari_ifa.evaluation.summary import summary_sections
    from napari_ifa.evaluation.summary.provenance import provenance_of
    from napari_ifa.export.html_report import write_report
    from napari_ifa.export.tables import TracedSections

    reserve_file(options, options.out, "HTML", "report.html")
    refuse_existing(options, options.out)
    if options.tables:
        if is_within(options.tables, options.out):
            raise AnalysisError(CommandProblem.ONE_PLACE_FOR_TWO)
        reserve_folder(options, options.tables)
    analysis = _compared(options.analysis, options)
    other = _compared(options.other, options) if options.other else None
    of_tables = provenance_of("report", analysis, other)
    if options.tables:
        _check_folder(options, options.tables, of_tables)
    evaluated = found = None
    if options.evaluation:
        evaluated = _read(options.evaluation, "evaluate", analysis)
    if options.findings:
        found = _read(options.findings, "findings", analysis)
    if found is None:
        sections = findings(analysis, other).sections
        found = TracedSections(sections, provenance_of("findings", analysis, other))
    if options.tables:
        _write(summary_sections(analysis, other), options.tables, of_tables)
    overwrite = options.overwrite
    say(str(write_report(options.out, analysis, other, evaluated, found, overwrite=overwrite)))


def _cohort(options: argparse.Namespace) -> Cohort:
    from napari_ifa.cohorts import read_cohort

    return read_cohort(options.cohort, options.split, options.root)


def _compared(
    file: Path, options: argparse.Namespace, classifier: Classifier | None = None
) -> Analysis:
    """The analysis for the target that was asked for."""
    from napari_ifa.analysis import load_analysis

    analysis = load_analysis(file, classifier)
    if options.compare_with is None:
        return analysis
    try:
        return analysis.of_target(options.compare_with)
    except AnalysisError as error:
        raise AnalysisError(f"{file.name}: {error}", error.kind, **error.facts) from error


def _check_folder(options: argparse.Namespace, folder: Path, provenance: Mapping[str, str]) -> None:
    """Refuse a folder with results of another work, unless they are to be overwritten."""
    from napari_ifa.export.tables.folder import check_sections

    if not options.overwrite:
        check_sections(folder, provenance)


def _read(folder: Path, command: Command, analysis: Analysis) -> TracedSections:
    from napari_ifa.evaluation.summary.provenance import check_provenance
    from napari_ifa.export.tables import read_folder

    stored = read_folder(folder)
    check_provenance(stored.provenance, command, analysis, str(folder))
    return stored


def _write(sections: Sequence[Section], folder: Path, provenance: Mapping[str, str]) -> None:
    from napari_ifa.export.tables import write_sections

    for section in sections:
        say(f"{section.title}: {section.meaning}")
    # What is there has been looked at.
    written = write_sections(sections, folder, provenance, overwrite=True)
    say(f"{len(written)} files written to {folder}; begin with summary.md.")


def _say(analysis: Analysis, cohort: Cohort, out: Path) -> None:
    from napari_ifa.analysis.fit.cohort_words import cases_outside, reference_sentences
    from napari_ifa.evaluation.summary.cases import counts_labels, labels_seen
    from napari_ifa.wording import counted

    splits = f"split {cohort.split}" if cohort.split else "all splits"
    cases = counted(len(analysis.case_ids), "case")
    say(f"{cases} ({splits}) analysed; written to {out}")
    for note in analysis.notes:
        if not (analysis.skipped and counts_labels(note)):
            say(note)
    if analysis.skipped and (labels := labels_seen(analysis)):
        say(labels)
    _say_some("skipped", [f"{name}: {reason}" for name, reason in analysis.skipped])
    groups = [" = ".join(group) for group in analysis.duplicates]
    stands = "image stands" if len(groups) == 1 else "images stand"
    _say_some(f"{stands} in the cohort more than once", groups)
    for sentence in reference_sentences(analysis):
        print(sentence)
    outside = [f"{name} ({score:.1f})" for name, score in cases_outside(analysis)]
    such = "case lies" if len(outside) == 1 else "cases lie"
    _say_some(f"{such} outside the range of the others (score)", outside)


def _say_some(what: str, texts: Sequence[str]) -> None:
    if texts:
        more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
        say(f"{len(texts)} {what}: {'; '.join(texts[:_MOST_NAMED])}{more}")
