"""The whole path on the sample data: analyse a cohort, explain two cases, compare them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ifa import samples
from napari_ifa.analysis import Explanation, analyze, explain
from napari_ifa.analysis.colour import evidence_strength
from napari_ifa.analysis.scale import READING
from napari_ifa.cohorts import Case, read_cohort
from napari_ifa.disk import whole_folder
from napari_ifa.evaluation.measures.localisation import localise
from napari_ifa.export.explanation import Row, write_explanation, write_table
from napari_ifa.export.picture import comparison_picture, save_picture, usual_cam
from napari_ifa.models import load_classifier
from napari_ifa.models.targets import OTHERS
from napari_ifa.reading import read_volume

ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

_ANALYSIS, _PICTURE = "analysis.nc", "comparison.png"
_EXPLAINED_CLASS = "bright lesion"
_COMPARED_WITH = "healthy"


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo left behind, and what it says of it."""

    report: str
    study: Path
    bundle: Path
    analysis: Path


def run_demo(out: Path, progress: ProgressBar, *, overwrite: bool = False) -> DemoOutcome:
    """Write the analysis, the maps of two cases, their picture and tables into ``out``, or nothing.

    The two cases are the lesion case and the healthy case whose usual maps, each on a scale of its
    own, show most: the healthy case that misleads most.

    Raises
    ------
    ExistingOutputError
        Files of these names are there already, and ``overwrite`` was not asked for.
    OSError
        Where ``out`` cannot be written.
    """
    bundle = samples.bundle("clean")
    classifier = load_classifier(bundle)
    datalist = samples.cohort("clean")
    with progress("cases") as bar:
        analysis = analyze(
            classifier, read_cohort(datalist, "training"), batch_size=4, progress=bar
        )
    explained = classifier.class_index(_EXPLAINED_CLASS)
    rows: list[Row] = []
    shown: dict[str, tuple[float, Case, Explanation]] = {}
    test = read_cohort(datalist, "test")
    with progress("cases") as bar:
        for done, case in enumerate(test.cases, start=1):
            assert isinstance(case.label, int | str)
            truth = classifier.class_names[classifier.class_index(case.label)]
            volume = read_volume(case.path)
            explanation = explain(classifier, volume, analysis, truth, target=OTHERS)
            explanation = explanation.select(choice=READING)
            rows.append(_test_row(case, truth, explanation, explained))
            if truth in (_EXPLAINED_CLASS, _COMPARED_WITH):
                compared = explanation.select(explained)
                glow = float(np.nanmean(usual_cam(compared.class_activation.array)))
                if truth not in shown or glow > shown[truth][0]:
                    shown[truth] = glow, case, compared
            bar(done, len(test))

    order = [name for name in (_EXPLAINED_CLASS, _COMPARED_WITH) if name in shown]
    pairs = [shown[name][2] for name in order]
    titles = [
        f"{name}: p({_EXPLAINED_CLASS}) = {_probability(e):.2f}"
        for name, e in zip(order, pairs, strict=True)
    ]
    with whole_folder(out, overwrite=overwrite) as place:
        analysis.save(place / _ANALYSIS)
        written = [place / _ANALYSIS, *write_table(rows, place / "test_split")]
        for truth, (_, _, explanation) in shown.items():
            written += write_explanation(explanation, place, truth.replace(" ", "_"))
        picture = comparison_picture(pairs, titles, against_too=False)
        save_picture(picture, place / _PICTURE)
    return DemoOutcome(
        report=_report(rows, [*written, place / _PICTURE], out),
        study=shown[_EXPLAINED_CLASS][1].path,
        bundle=bundle,
        analysis=out / _ANALYSIS,
    )


def _probability(explanation: Explanation) -> float:
    """Of the class explained; the sample models say how they answer with one."""
    assert explanation.probabilities is not None
    return float(explanation.probabilities[explanation.class_idx])


def _test_row(case: Case, truth: str, explanation: Explanation, explained: int) -> Row:
    compared = explanation.select(explained)
    assert compared.scale is not None
    evidence = evidence_strength(compared.s_cam.array, compared.scale.neutral)
    predicted = explanation.class_names[int(explanation.logits.argmax())]
    row: Row = {
        "case": case.id,
        "class": truth,
        "predicted": predicted,
        "probability": _probability(explanation),
        "fit": explanation.fit.words if explanation.fit is not None else "",
        "strongest_evidence": float(np.nanmax(evidence)),
        "positive_share_in_lesion": float("nan"),
        "s_cam_share_in_lesion": float("nan"),
        "lesion_share_of_image": float("nan"),
        "hit": "",
    }
    mask = read_volume(case.mask) if case.mask is not None else None
    if mask is not None and mask.array.any():
        found = localise(explanation, mask)
        row["positive_share_in_lesion"] = found.positive_share
        row["s_cam_share_in_lesion"] = found.s_cam_share
        row["lesion_share_of_image"] = float((mask.array > 0).mean())
        row["hit"] = found.hit
    return row


def _report(rows: list[Row], written: list[Path], out: Path) -> str:
    right = sum(row["predicted"] == row["class"] for row in rows)
    lesions = [row for row in rows if row["hit"] != ""]

    def mean(key: str) -> float:
        return float(np.nanmean([row[key] for row in lesions]))

    def strongest(truth: str) -> float:
        return float(np.mean([row["strongest_evidence"] for row in rows if row["class"] == truth]))

    lines = [
        f"Test split: {right} of {len(rows)} cases classified rightly.",
        f"In {len(lesions)} lesion cases {mean('positive_share_in_lesion'):.0%} of the positive"
        f" class activation lies inside the lesion, which fills"
        f" {mean('lesion_share_of_image'):.1%} of the image; the strongest activation lies inside"
        f" it in {sum(row['hit'] for row in lesions)}.",
        f"On the common scale the strongest evidence for '{_EXPLAINED_CLASS}' is on average"
        f" {strongest(_EXPLAINED_CLASS):.0%} of the possible in the cases that have one and"
        f" {strongest(_COMPARED_WITH):.0%} in healthy ones; on a scale of its own it would be 100 %"
        " in every case.",
        f"Written to {out}:",
        *(f"  {path.name}" for path in written),
        f"Look at {out / _PICTURE}: the healthy case is pale on the common scale and glows"
        " on its own.",
    ]
    return "\n".join(lines)
