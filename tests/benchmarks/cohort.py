"""How fast the analysis of a cohort is beside a bare loop over it, and what its cases cost.

    python tests/benchmarks/cohort.py [--rows throughput,cost] [--json result.json] [--quick]

Prints two tables and writes them as JSON. Throughput is the share of a bare loop's cases per second
(larger is better, 0.9 is the aim); cost is peak memory, time and file size by the number of cases,
each in a process of its own (Linux alone says what a process held at most).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import cohort_cost, cohort_throughput, machine
from tests.benchmarks.cohort_cost import Cost, Growth
from tests.benchmarks.cohort_throughput import Throughput

ROWS = ("throughput", "cost")
_YES_NO = {True: "yes", False: "no", None: "–"}
_THROUGHPUT = ("share", "quartiles", "aim", "met", "what", "cases", "batch")
_THROUGHPUT += ("analysis", "bare loop", "difference")
_COST = ("classes", "features", "profiles", "cases", "before", "peak", "time", "file")
_GROWTH = ("classes", "features", "profiles", "from, to", "peak", "flat", "a case: time", "file")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    device = torch.device(options.device)
    ran_on = machine.description(device)
    print(machine.in_a_line(ran_on) + "\n", flush=True)
    if options.quick:
        print("Quick: few cases and rounds, to see that it runs. No result.\n")

    result: dict[str, object] = {
        "machine": ran_on,
        "rounds": options.rounds,
        "quick": options.quick,
    }
    with TemporaryDirectory() as folder:
        if "throughput" in options.rows:
            lines = []
            for line in cohort_throughput.measured(
                Path(folder), device, options.rounds, options.quick
            ):
                print(f"{line.what}: {line.share.median:.3f}", file=sys.stderr, flush=True)
                lines.append(line)
            print(_table(_THROUGHPUT, map(_throughput_cells, lines)) + "\n", flush=True)
            result["throughput"] = [dataclasses.asdict(line) | {"met": line.met} for line in lines]
        if "cost" in options.rows:
            kinds = list(cohort_cost.measured(Path(folder), options.quick))
            growths = [Growth.of(costs) for costs in kinds]
            costs = [cost for kind in kinds for cost in kind]
            print(_table(_COST, map(_cost_cells, costs)) + "\n")
            print(_table(_GROWTH, map(_growth_cells, growths)))
            result["cost"] = [dataclasses.asdict(cost) for cost in costs]
            result["growth"] = [dataclasses.asdict(g) | {"flat": g.flat} for g in growths]
    if options.json:
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        options.json.write_text(text, encoding="utf-8")


def _throughput_cells(line: Throughput) -> tuple[str, ...]:
    share = line.share
    return (
        f"{share.median:.3g}",
        f"{share.lower:.3g} to {share.upper:.3g}",
        "–" if line.goal is None else f"≥ {line.goal:g}",
        _YES_NO[line.met],
        line.what,
        str(line.cases),
        str(line.batch),
        f"{line.analysis_per_second:.3g} / s",
        f"{line.loop_per_second:.3g} / s",
        f"{line.difference:.0e}",
    )


def _cost_cells(cost: Cost) -> tuple[str, ...]:
    return (
        str(cost.classes),
        str(cost.features),
        cost.profiles,
        f"{cost.cases:,}",
        f"{cost.before_mib:.0f} MiB",
        f"{cost.peak_mib:.0f} MiB",
        f"{cost.seconds:.3g} s",
        f"{cost.file_bytes / 2**20:.3g} MiB",
    )


def _growth_cells(growth: Growth) -> tuple[str, ...]:
    return (
        str(growth.classes),
        str(growth.features),
        growth.profiles,
        f"{growth.fewest:,} to {growth.most:,}",
        f"× {growth.peak_ratio:.3g}",
        _YES_NO[growth.flat],
        f"{growth.milliseconds_per_case:.3g} ms",
        f"{growth.bytes_per_case:,.0f} bytes",
    )


def _table(headings: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """Markdown, padded so that it reads in a terminal too."""
    rows = [headings, *cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--quick", action="store_true", help="few cases, one round")
    parser.add_argument(
        "--rows", type=_names, default=ROWS, help=f"which, of {', '.join(ROWS)} (default: both)"
    )
    parser.add_argument("--rounds", type=int, help="rounds of the throughput (default: 4)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads (default: torch's)"
    )
    parser.add_argument("--json", type=Path, help="write the tables to this file as JSON")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 1 if options.quick else 4
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row '{unknown[0]}': choose from {', '.join(ROWS)}")
    return names


if __name__ == "__main__":
    main()
