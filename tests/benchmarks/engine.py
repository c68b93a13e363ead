"""How fast the class-activation engine is beside one forward pass and beside its peers.

    python tests/benchmarks/engine.py [--device cuda] [--rows one-class,memory] [--json result.json]

Prints one table, ratios first, and writes it as JSON. Every ratio is this project's time or memory
over the other's, so smaller is better; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import all_classes, machine, one_class, score_cam
from tests.benchmarks.measuring import Line, Settings

ROWS: dict[str, Callable[[Settings], list[Line]]] = {
    "one-class": one_class.times,
    "memory": one_class.memory,
    "all-classes": all_classes.affine_head,
    "all-classes-mlp": all_classes.mlp_head,
    "score-cam": score_cam.times,
}
HEADINGS = ("ratio", "quartiles", "reach", "met", "what", "case", "against", "ours", "other")
HEADINGS += ("difference", "note")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    # A peer's warning about its own hooks is not a result.
    warnings.filterwarnings("ignore")
    settings = Settings(torch.device(options.device), options.rounds, options.quick)
    ran_on = machine.description(settings.device)
    print(machine.in_a_line(ran_on) + "\n", flush=True)
    if options.quick:
        print("Quick: smaller images and few rounds, to see that it runs. No result.\n")

    lines: list[Line] = []
    for name in options.rows:
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines += ROWS[name](settings)
    print(table(lines))
    if options.json:
        result = {
            "machine": ran_on,
            "rounds": options.rounds,
            "quick": options.quick,
            "lines": [dataclasses.asdict(line) | {"met": line.met} for line in lines],
        }
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        options.json.write_text(text, encoding="utf-8")


def table(lines: list[Line]) -> str:
    """A Markdown table of the lines, padded so that it reads in a terminal too."""
    rows = [HEADINGS, *map(_cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])


def _cells(line: Line) -> tuple[str, ...]:
    ratio = line.ratio
    return (
        f"{ratio.median:.3g}",
        "exact" if ratio.lower == ratio.upper else f"{ratio.lower:.3g} to {ratio.upper:.3g}",
        "–" if line.reach is None else f"≤ {line.reach:.3g}",
        {True: "yes", False: "no", None: "–"}[line.met],
        line.row,
        line.case,
        line.against,
        f"{line.ours:.3g} {line.unit}",
        f"{line.other:.3g} {line.unit}",
        "–" if line.difference is None else f"{line.difference:.0e}",
        line.note,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--quick", action="store_true", help="small cases, three rounds")
    parser.add_argument(
        "--rows",
        type=_names,
        default=list(ROWS),
        help=f"which rows, separated by commas: {', '.join(ROWS)} (default: all)",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each row (default: 15)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads (default: torch's)"
    )
    parser.add_argument("--json", type=Path, help="write the table to this file as JSON")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 3 if options.quick else 15
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row '{unknown[0]}': choose from {', '.join(ROWS)}")
    return names


if __name__ == "__main__":
    main()
