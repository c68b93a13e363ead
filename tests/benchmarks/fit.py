"""Whether a study fits its cohort: how often that is said wrongly, and what is found.

    python tests/benchmarks/fit.py --data ../shared/data [--work DIR]
        [--page docs/fit.md] [--json docs/benchmarks/fit.json]

Four sets: the sample heads with their own model, and chest X-rays, breast ultrasound and LIDC
cubes with small networks that are trained here and kept in ``--work``. Each set's cases are
compared with a reference of the others, and images that do not belong with the reference of all.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.analysis.fit.cohort_fit import compared
from napari_ifa.analysis.fit.header import Header
from napari_ifa.analysis.fit.reference import FitReference, fitted
from napari_ifa.analysis.fit.statistics import (
    CaseStatistics,
    Seen,
    content_of,
    intensity_quantiles,
)
from napari_ifa.cam import CutNetwork
from tests.benchmarks import fit_probes as probes
from tests.benchmarks import machine
from tests.benchmarks.published import publish
from tests.benchmarks.small_sets import SMALL_SETS, report, small_set

MARKS = ("<!-- figures: written by fit.py -->", "<!-- end of figures -->")
HELD_OUT = 0.1
#: What must be: the least share found outside of what does not belong, of inverted images, the
#: greatest share of held-out cases called outside, and the share called unusual.
FOUND, INVERTED_FOUND, FALSE_OUTSIDE, UNUSUAL = 0.99, 0.90, 0.05, (0.03, 0.07)


@dataclass(frozen=True)
class Measured:
    """A set's cases and what was measured of them."""

    statistics: list[CaseStatistics]
    content: np.ndarray
    group: np.ndarray
    training: np.ndarray

    def reference(self, chosen: np.ndarray) -> FitReference:
        """Of the chosen cases."""
        parts = CaseStatistics.joined([self.statistics[n] for n in chosen])
        return fitted(lambda: iter([parts]), self.content[chosen], self.group[chosen])


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
    key, trained = SMALL_SETS[name]
    if trained:
        training, test = list(dataset.training.cases), list(dataset.test.cases)
    else:
        # The validation split too.
        training = list(dataset.training.cases)
        known = {case.id for case in training}
        everything = ifa.read_cohort(samples.cohort("clean")).cases
        test = [case for case in everything if case.id not in known]
    cases = (training + test)[:: options.every]
    volumes = [case.read() for case in cases]
    report(f"{name}: {len(cases)} cases")
    with CutNetwork(classifier.network, classifier.target_layer, early=True) as cut:
        of_cases = [_of_one(classifier, cut, volume) for volume in volumes]
        measured = Measured(
            [statistics for statistics, _ in of_cases],
            np.array([content for _, content in of_cases], np.uint64),
            np.array([_group(key, case) for case in cases], np.uint64),
            np.array([case in training for case in cases]),
        )
        result: dict[str, Any] = {
            "cases": len(cases),
            "layer": classifier.target_layer,
            **calibration(measured, options.splits),
        }
        whole = measured.reference(np.arange(len(cases)))
        chosen = np.random.default_rng(0).permutation(len(cases))[: options.probes]
        rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for kind, changes in probes.CHANGES.items():
            for change_name, change in changes.items():
                for n in chosen:
                    made = probes.changed(volumes[n], change, int(n))
                    _judge(rows, (kind, change_name), whole, _of_one(classifier, cut, made)[0])
        flat = volumes[0].shape[0] == 1
        others = probes.pictures if flat else probes.volumes
        for kind, other, volume in others(options.data, name, options.probes):
            _judge(rows, (kind, other), whole, _of_one(classifier, cut, volume)[0])
        if key == "sample_heads":
            head = ifa.read_volume(options.data / "dicom" / "ct_head")
            fit = compared(
                whole, _of_one(classifier, cut, head)[0], stated_modality=classifier.modality
            )
            result["ct_head"] = fit.words
    result["probes"] = [
        {
            "kind": kind,
            "name": probe,
            "images": len(values),
            "outside": float(np.mean([score >= 1.5 for score, _ in values])),
            "unusual_or_outside": float(np.mean([p <= 0.05 or s >= 1.5 for s, p in values])),
            "median_score": float(np.median([score for score, _ in values])),
        }
        for (kind, probe), values in rows.items()
    ]
    return result


def calibration(measured: Measured, splits: int) -> dict[str, Any]:
    """What is said of cases of the cohort itself that the reference does not know."""
    groups = np.where(measured.group > 0, measured.group, measured.content)
    distinct = np.unique(groups)
    random = np.random.default_rng(5)
    scores, ps = [], []
    for left_out in (
        part
        for _ in range(splits)
        for part in np.array_split(random.permutation(distinct), round(1 / HELD_OUT))
    ):
        held = np.isin(groups, left_out)
        reference = measured.reference(np.flatnonzero(~held))
        for n in np.flatnonzero(held):
            fit = compared(reference, measured.statistics[n])
            scores.append(fit.score)
            ps.append(fit.p)
    training = np.flatnonzero(measured.training)
    reference = measured.reference(training)
    tests = [
        compared(reference, measured.statistics[n]) for n in np.flatnonzero(~measured.training)
    ]
    return {
        "held_out": len(ps),
        "unusual": float(np.mean(np.array(ps) <= 0.05)),
        "outside": float(np.mean(np.array(scores) >= 1.5)),
        "test_against_training": {
            "reference": len(training),
            "cases": len(tests),
            "unusual": float(np.mean([fit.p <= 0.05 for fit in tests if fit.p is not None])),
            "outside": float(np.mean([(fit.score or 0) >= 1.5 for fit in tests])),
        },
    }


def in_words(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sets = result["sets"]
    lines = [
        f"{machine.in_a_line(result['machine'])}. {result['seconds'] / 60:.0f} minutes in all.",
        "",
        "Cases of the cohort itself that the reference does not hold:",
        "",
        "| | " + " | ".join(sets) + " |",
        "|---" * (len(sets) + 1) + "|",
        _line("cases", [str(s["cases"]) for s in sets.values()]),
        _line(
            "comparisons, a tenth of the patients left out at a time",
            [str(s["held_out"]) for s in sets.values()],
        ),
        _line("called unusual (p ≤ 0.05)", [_percent(s["unusual"]) for s in sets.values()]),
        _line("score of 1.5 or more", [_percent(s["outside"]) for s in sets.values()]),
        _line(
            "test cases against training cases: unusual",
            [_percent(s["test_against_training"]["unusual"]) for s in sets.values()],
        ),
        _line(
            "test cases against training cases: score of 1.5 or more",
            [_percent(s["test_against_training"]["outside"]) for s in sets.values()],
        ),
        "",
        "Share with a score of 1.5 or more (in brackets: or unusual), headers left aside:",
        "",
        "| | | " + " | ".join(sets) + " |",
        "|---" * (len(sets) + 2) + "|",
    ]
    names = dict.fromkeys((p["kind"], p["name"]) for s in sets.values() for p in s["probes"])
    for kind, name in names:
        cells = []
        for one in sets.values():
            found = [p for p in one["probes"] if (p["kind"], p["name"]) == (kind, name)]
            cells.append(
                f"{_percent(found[0]['outside'])} ({_percent(found[0]['unusual_or_outside'])})"
                if found
                else "–"
            )
        lines.append(f"| {kind} | {name} | " + " | ".join(cells) + " |")
    lines += ["", *(_line_of_target(text, met) for text, met in targets(sets))]
    for one in sets.values():
        if "ct_head" in one:
            lines += ["", f"A head CT under the sample heads' MR model: *{one['ct_head']}*."]
    return "\n".join(lines) + "\n"


def targets(sets: dict[str, Any]) -> list[tuple[str, bool]]:
    """What must be, and whether it is."""
    must = (probes.NOISE, probes.EMPTY, probes.FOREIGN)
    found = [
        (p["outside"], p["images"]) for s in sets.values() for p in s["probes"] if p["kind"] in must
    ]
    share = sum(o * n for o, n in found) / sum(n for _, n in found)
    inverted = [
        p["outside"] for s in sets.values() for p in s["probes"] if p["kind"] == probes.INVERTED
    ]
    enough = sum(o >= INVERTED_FOUND for o in inverted)
    low, high = UNUSUAL
    return [
        (
            f"noise, empty images and other organs or modalities: {_percent(share)} outside of"
            f" {sum(n for _, n in found)} (at least {_percent(FOUND)})",
            share >= FOUND,
        ),
        (
            f"inverted images: at least {_percent(INVERTED_FOUND)} outside in {enough} of"
            f" {len(inverted)} sets (3 of 4)",
            enough >= 0.75 * len(inverted),
        ),
        (
            f"the cohort's own, left out: at most"
            f" {_percent(max(s['outside'] for s in sets.values()))} outside (at most"
            f" {_percent(FALSE_OUTSIDE)})",
            all(s["outside"] <= FALSE_OUTSIDE for s in sets.values()),
        ),
        (
            f"and unusual in {_percent(min(s['unusual'] for s in sets.values()))} to"
            f" {_percent(max(s['unusual'] for s in sets.values()))} ({_percent(low)} to"
            f" {_percent(high)})",
            all(low <= s["unusual"] <= high for s in sets.values()),
        ),
    ]


def _line_of_target(text: str, met: bool) -> str:
    return f"* {'met' if met else '**missed**'}: {text}"


def _line(head: str, cells: Sequence[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"


def _judge(
    rows: dict[tuple[str, str], list[tuple[float, float]]],
    key: tuple[str, str],
    reference: FitReference,
    case: CaseStatistics,
) -> None:
    fit = compared(reference, case)
    rows.setdefault(key, []).append((fit.score or 0.0, 1.0 if fit.p is None else fit.p))


def _of_one(
    classifier: ifa.Classifier, cut: CutNetwork, volume: ifa.Volume
) -> tuple[CaseStatistics, int]:
    image = classifier.preprocess(volume)
    values = image.as_tensor().float().contiguous()
    found: Any = cut.run(values[None])
    header = Header.of(volume, image)
    seen = Seen(content_of(values), intensity_quantiles(values), header)
    return CaseStatistics.of([seen], found), seen.content


def _group(key: str, case: ifa.analysis.Case) -> int:
    """Nodules of one patient belong together."""
    if key != "lidc_nodules":
        return 0
    name = case.path.name.partition("_")[0]
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="public data")
    parser.add_argument("--work", type=Path, help="keeps the bundles (default: a temporary folder)")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SMALL_SETS))
    parser.add_argument("--probes", type=int, default=40, help="images of each kind (40)")
    parser.add_argument("--splits", type=int, default=2, help="times every tenth is left out (2)")
    parser.add_argument("--every", type=int, default=1, help="takes every n-th case: to try it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--page", type=Path, help="put the tables into this Markdown page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
