"""What it costs to count every target in a pass beside the logit alone: processor time, in turns.

    python tests/benchmarks/targets.py [--data ../shared/data [--work DIR]] [--rounds 5]
        [--methods gradcam] [--json docs/benchmarks/targets.json]

Whole analyses, from the images to the file read back, for the methods that are linear in the
gradient: of the sample heads with their own model and, where there are data, of real sets with
small networks that are trained here and kept in ``--work``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import napari_ifa as ifa
from napari_ifa.cohorts import Cohort
from tests.benchmarks import machine
from tests.benchmarks.measuring import Spread
from tests.benchmarks.published import publish
from tests.benchmarks.small_sets import SMALL_SETS, small_set

METHODS = ("cam", "gradcam", "pixelwise", "xgradcam")
#: One target and all of them.
COMPETITORS: dict[str, list[str] | None] = {"one": ["logit"], "all": None}
REACH = 1.05


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, help="keeps trained networks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in SMALL_SETS if options.data else ["sample heads"]:
            dataset, bundle = small_set(name, options.data, options.work or Path(temporary))
            classifier = ifa.load_classifier(bundle, device="cpu")
            cohort = dataset.training
            for method in options.methods:
                row = measured(classifier, cohort, method, options.rounds)
                rows.append({"set": name, "cases": len(cohort.cases), **row})
                line = "{set} ({cases} cases), {method}: {median:.3f} ({lower:.3f} to {upper:.3f})"
                line += ", least to least {least:.3f}, of {one:.2f} s"
                print(line.format(**rows[-1]), flush=True)
    result = {
        "machine": machine.description(torch.device("cpu"), ("napari-ifa", "torch")),
        "rows": rows,
    }
    print(machine.in_a_line(result["machine"]))
    publish(result, file=options.json)


def measured(
    classifier: ifa.Classifier, cohort: Cohort, method: str, rounds: int
) -> dict[str, Any]:
    """The ratios of single rounds, of which the first does not count, and of the least times."""
    seconds: dict[str, list[float]] = {name: [] for name in COMPETITORS}
    for _ in range(rounds + 1):
        for name in random.sample(list(COMPETITORS), len(COMPETITORS)):
            begin = time.process_time()
            ifa.analyze(classifier, cohort, method, targets=COMPETITORS[name])
            seconds[name].append(time.process_time() - begin)
    one, every = (np.array(seconds[name][1:]) for name in COMPETITORS)
    spread = Spread.of(every / one)
    return {
        "method": method,
        **vars(spread),
        "least": float(every.min() / one.min()),
        "one": float(np.median(one)),
        "reach": REACH,
    }


if __name__ == "__main__":
    main()
