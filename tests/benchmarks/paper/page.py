"""The tables in a Markdown page: what was run, what is known of the paper, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import machine
from tests.benchmarks.paper import tables

BEGIN, END = "<!-- tables: written by paper_tables.py -->", "<!-- end of tables -->"


def body(result: dict[str, Any], parts: Sequence[tuple[str, str]]) -> str:
    """Everything that one run says."""
    minutes = result["seconds"] / 60
    lines = [f"{machine.in_a_line(result['machine'])}. {minutes:.0f} minutes in all."]
    if result["quick"]:
        lines.append("Quick: few cases and one epoch, to see that it runs. No result.")
    lines.append(result["note"])
    for title, table in parts:
        lines += [f"## {title}", table]
    lines += ["## How to read them", tables.legend()]
    return "\n\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Put the text between the page's two marks; a new page holds nothing else."""
    old = path.read_text("utf-8") if path.is_file() else f"# The paper's tables\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old or END not in old:
        raise SystemExit(f"{path} has no line '{BEGIN}' followed by '{END}'; add them.")
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
