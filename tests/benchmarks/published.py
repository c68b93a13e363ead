"""What a benchmark found, as text between two marks of a page and as numbers in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def publish(
    result: dict[str, Any],
    text: str = "",
    *,
    file: Path | None = None,
    page: Path | None = None,
    marks: tuple[str, str] = ("", ""),
) -> None:
    """Write the numbers to ``file`` and the text into ``page``, where they are given."""
    if file:
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if page:
        before, _, rest = page.read_text("utf-8").partition(marks[0])
        after = rest.partition(marks[1])[2]
        page.write_text(f"{before}{marks[0]}\n\n{text}\n{marks[1]}{after}", "utf-8")
