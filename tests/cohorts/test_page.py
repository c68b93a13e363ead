"""The examples of the page on cohorts run as they stand, on the lists that stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "cohorts.md"


def test_the_examples_of_the_page_give_what_it_says(tmp_path: Path, monkeypatch) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    (tmp_path / "datalist.json").write_text(dict(blocks)["json"])
    (tmp_path / "cases.csv").write_text(dict(blocks)["csv"])
    for place in ("train/NORMAL", "train/PNEUMONIA", "test/NORMAL"):
        (tmp_path / "xray" / place).mkdir(parents=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "xray" / place / "1.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    told: list[str] = []
    names["print"] = told.append
    checked = 0
    for code in (text for kind, text in blocks if kind == "python"):
        exec(compile(code, PAGE.name, "exec"), names)
        # "expression   # what it gives": the part before ";" is Python too.
        for line in code.splitlines():
            expression, _, comment = line.partition("  # ")
            if comment and not line.startswith((" ", "np.")) and " = " not in expression:
                assert eval(expression, names) == eval(comment.split(";")[0], names), line
                checked += 1
    assert checked == 8
    assert told == ["Classes: healthy (1), lesion (2)."]
