"""What it costs to count every target in a pass beside the logit alone: processor time, in turns.

    python tests/benchmarks/targets.py [--rounds 5] [--cases 24] [--json FILE]

The sample heads with their own model, for the methods that are linear in the gradient.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.cohorts import Cohort
from tests.benchmarks import machine
from tests.benchmarks.measuring import Spread

METHODS = ("cam", "gradcam", "pixelwise", "xgradcam")
#: One target and all of them.
COMPETITORS: dict[str, list[str] | None] = {"one": ["logit"], "all": None}
REACH = 1.05


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    whole = ifa.read_cohort(samples.cohort("clean"))
    cohort = Cohort(whole.name, whole.cases[: options.cases], whole.split)
    classifier = ifa.load_classifier(samples.bundle("clean"), device="cpu")
    rows = [measured(classifier, cohort, method, options.rounds) for method in METHODS]
    result = {
        "machine": machine.description(torch.device("cpu"), ("napari-ifa", "torch")),
        "rows": rows,
    }
    print(machine.in_a_line(result["machine"]))
    for row in rows:
        print("{method}: {median:.3f} ({lower:.3f} to {upper:.3f}) of {one:.2f} s".format(**row))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def measured(
    classifier: ifa.Classifier, cohort: Cohort, method: str, rounds: int
) -> dict[str, Any]:
    """The ratios of single rounds, of which the first does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in COMPETITORS}
    for _ in range(rounds + 1):
        for name in random.sample(list(COMPETITORS), len(COMPETITORS)):
            begin = time.process_time()
            ifa.analyze(classifier, cohort, method, targets=COMPETITORS[name])
            seconds[name].append(time.process_time() - begin)
    one, every = (np.array(seconds[name][1:]) for name in COMPETITORS)
    spread = Spread.of(every / one)
    return {"method": method, **vars(spread), "one": float(np.median(one)), "reach": REACH}


if __name__ == "__main__":
    main()
