"""The forms of the common scale on real networks: neutral, saturation, consistency, precision.

    python tests/benchmarks/scales.py --data ../shared/data [--work DIR]
        [--page docs/scales.md] [--json docs/benchmarks/scales.json]

The same four sets and networks as of ``fit.py``. The scale is made from the training cases; what
it makes of maps is measured on the other cases. The widths of smaller cohorts come from cases that
are drawn anew, with all their voxels, and not from what an analysis keeps of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

import napari_ifa as ifa
from napari_ifa.analysis.cohort_scale import CASE_PERCENTAGES, CaseValues, cohort_scale
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.scale import CommonScale, ScaleChoice
from napari_ifa.cam import CutNetwork, class_activations
from napari_ifa.cohorts import Case
from napari_ifa.evaluation.measures.consistency import map_sums
from tests.benchmarks import machine
from tests.benchmarks.paper.datasets import labels
from tests.benchmarks.published import publish
from tests.benchmarks.small_sets import report, small_set

#: The class whose cases have nothing to find.
WITHOUT = {
    "sample heads": "healthy",
    "chest X-rays": "normal",
    "breast ultrasound": "normal",
    "LIDC cubes": "benign",
}
MARKS = ("<!-- figures: written by scales.py -->", "<!-- end of figures -->")
TARGETS = ("logit", "others")
CHOICES = tuple((f, b) for f in ("paper", "centred") for b in ("voxels", "extremes"))
#: A value beyond this, of either sign, is drawn in the last colour.
SATURATED = 0.95
COHORTS, DRAWN = (20, 50, 200), 300

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Maps:
    """Of some cases: maps ``[N, C, *grid]``, contrasts of logits ``[N, C]``, labels ``[N]``."""

    maps: NDArray[np.float32]
    answers: Floats
    labels: NDArray[np.int64]
    size: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One form and basis on one set; of several classes the least and the greatest.

    Attributes
    ----------
    neutral : S-CAM of no contribution.
    saturated_with, saturated_without : share of voxels beyond ±0.95 in cases of a class that has
        something to find, on that class's scale, and in those of the class that has not.
    within : correlation of the sum of S-CAM with the answer over the cases, by class.
    pooled : the same over cases and classes, on one scale for all.
    widths : 95 % interval of the scale's width in cohorts of 20, 50 and 200 cases, relative to all.
    """

    target: str
    form: str
    basis: str
    ratio: float
    neutral: tuple[float, float]
    saturated_with: float
    saturated_without: float
    within: tuple[float, float]
    pooled: float
    widths: dict[int, tuple[float, float]]


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _options()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        found = {name: measured_set(name, work, options) for name in options.sets}
    result = {
        "machine": machine.description(torch.device("cpu"), ("napari-ifa", "torch", "monai")),
        "seconds": round(time.perf_counter() - started),
        "sets": found,
    }
    text = in_words(result)
    print(text)
    publish(result, text, file=options.json, page=options.page, marks=MARKS)


def measured_set(name: str, work: Path, options: Any) -> dict[str, Any]:
    """All figures of one set."""
    dataset, bundle = small_set(name, options.data, work)
    classifier = ifa.load_classifier(bundle, device="cpu")
    nothing = [i for i, c in enumerate(classifier.class_names) if c.lower() == WITHOUT[name]]
    training = maps_of(classifier, dataset.training.cases[:: options.every])
    test = maps_of(classifier, dataset.test.cases[:: options.every])
    report(f"{name}: {len(training['logit'].labels)} and {len(test['logit'].labels)} cases")
    rows = [
        row_of(target, form, basis, training[target], test[target], nothing)
        for target in TARGETS
        for form, basis in CHOICES
    ]
    return {
        "training": len(training["logit"].labels),
        "test": len(test["logit"].labels),
        "classes": list(classifier.class_names),
        "rows": [asdict(row) for row in rows],
    }


def maps_of(classifier: ifa.Classifier, cases: Sequence[Case]) -> dict[str, Maps]:
    """Class activation of every case, by target."""
    maps: dict[str, list[NDArray[np.float32]]] = {target: [] for target in TARGETS}
    logits = []
    size: tuple[int, ...] = ()
    with CutNetwork(classifier.network, classifier.target_layer) as cut:
        for case in cases:
            image = classifier.prepare(case.read()).image.as_tensor().float()[None]
            size = tuple(image.shape[2:])
            for found in class_activations(cut, image, None, "gradcam", "all", list(TARGETS)):
                maps[str(found.target)].append(found.maps()[0].numpy())
                answer = found.logits[0].double().numpy()
            logits.append(answer)
    answers = np.array(logits)
    others = answers.shape[1] - 1
    against = answers - (answers.sum(axis=1, keepdims=True) - answers) / others
    truth = np.array(labels(cases, classifier.class_names))
    by_target = {"logit": answers, "others": against}
    return {t: Maps(np.stack(maps[t]), by_target[t], truth, size) for t in TARGETS}


def row_of(
    target: str, form: Any, basis: Any, training: Maps, test: Maps, nothing: Sequence[int]
) -> Row:
    """One form and basis."""
    classes = training.maps.shape[1]
    by_class = [scale_of(training.maps[:, [c]], ScaleChoice(form, basis)) for c in range(classes)]
    one = scale_of(training.maps, ScaleChoice(form, basis, "all"))
    auto = ScaleChoice(form, "auto")
    ratios = [scale_of(training.maps[:, [c]], auto).ratio for c in range(classes)]
    maps = torch.from_numpy(test.maps)
    own = map_sums(maps, test.size, by_class)[..., 2]
    pooled = map_sums(maps, test.size, [one] * classes)[..., 2]
    found = [c for c in range(classes) if c not in nothing]
    shown = np.stack([scale(test.maps[:, c]) for c, scale in enumerate(by_class)], axis=1)
    share = (np.abs(shown) > SATURATED).reshape(*shown.shape[:2], -1).mean(axis=-1)
    with_it = [share[test.labels == c, c] for c in found]
    without = np.isin(test.labels, nothing)
    return Row(
        target,
        form,
        basis,
        float(np.median([ratio or 0.0 for ratio in ratios])),
        _span([scale.neutral for scale in by_class]),
        float(np.concatenate(with_it).mean()),
        float(share[without][:, found].mean()) if without.any() else float("nan"),
        _span([correlation(own[:, c], test.answers[:, c]) for c in range(classes)]),
        correlation(pooled.ravel(), test.answers.ravel()),
        {n: widths_of(training.maps, form, basis, n) for n in COHORTS},
    )


def scale_of(maps: NDArray[np.float32], choice: ScaleChoice) -> CommonScale:
    """From all voxels of the maps ``[N, C, *grid]``, as one class."""
    flat = maps.reshape(*maps.shape[:2], -1).astype(float)
    quantiles = np.moveaxis(np.percentile(flat, CASE_PERCENTAGES, axis=-1), 0, -1)
    values = CaseValues(flat.min(-1), flat.max(-1), quantiles)
    return cohort_scale(Distribution.of(torch.from_numpy(flat.reshape(1, -1))), values, choice)


def widths_of(maps: NDArray[np.float32], form: str, basis: str, cases: int) -> tuple[float, float]:
    """The width of the scale in cohorts of so many cases over that of all: mean over classes."""
    random = np.random.default_rng(cases)
    relative = []
    for c in range(maps.shape[1]):
        flat = maps[:, c].reshape(len(maps), -1)
        whole = width(flat, form, basis)
        drawn = [
            width(flat[random.integers(0, len(flat), cases)], form, basis) for _ in range(DRAWN)
        ]
        relative.append(np.percentile(drawn, [2.5, 97.5]) / whole - 1)
    low, high = np.mean(relative, axis=0)
    return float(low), float(high)


def width(flat: NDArray[np.float32], form: str, basis: str) -> float:
    """P90 - P10, or twice P90 of the magnitude, of maps ``[N, V]``."""
    if form == "centred":
        of = np.abs(flat)
        return 2 * float(np.percentile(of.max(axis=1) if basis == "extremes" else of, 90))
    if basis == "extremes":
        low, high = np.percentile(flat.min(axis=1), 50), np.percentile(flat.max(axis=1), 90)
    else:
        low, high = np.percentile(flat, [10, 90])
    return float(high - low)


def correlation(sums: Floats, answers: Floats) -> float:
    """Pearson's r."""
    return float(np.corrcoef(sums, answers)[0, 1])


def in_words(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    minutes = f"{result['seconds'] / 60:.0f} minutes in all."
    lines = [f"{machine.in_a_line(result['machine'])}. {minutes}"]
    head = (
        "| compared with | form | basis | neutral | saturated, with a finding | without |"
        " consistency by class | pooled | width at n = 20 | 50 | 200 |"
    )
    for name, found in result["sets"].items():
        lines += [
            "",
            f"### {name}",
            "",
            f"{found['training']} training and {found['test']} test cases; classes"
            f" {', '.join(found['classes'])}.",
            "",
            head,
            "|---" * 11 + "|",
        ]
        for row in found["rows"]:
            ratio = row["ratio"]
            chosen = "extremes" if ratio > 5 else "voxels"
            mark = f" (auto, R = {ratio:.2g})" if row["basis"] == chosen else ""
            cells = [
                {"logit": "nothing", "others": "all others"}[row["target"]],
                row["form"],
                f"{row['basis']}{mark}",
                _two(row["neutral"], "{:.2f}"),
                _percent(row["saturated_with"]),
                _percent(row["saturated_without"]),
                _two(row["within"], "{:.3f}"),
                f"{row['pooled']:.3f}",
                *(_signed(row["widths"][n]) for n in COHORTS),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _span(values: Sequence[float]) -> tuple[float, float]:
    return float(min(values)), float(max(values))


def _two(values: Sequence[float], form: str) -> str:
    low, high = (form.format(value) for value in values)
    return low if low == high else f"{low} to {high}"


def _signed(values: Sequence[float]) -> str:
    low, high = values
    return f"{100 * low:+.0f} to {100 * high:+.0f} %"


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.2g} %"


def _options() -> Any:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps trained networks")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(WITHOUT), default=list(WITHOUT))
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth case")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
