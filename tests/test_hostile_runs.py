"""Whatever a command is given, it ends soon, with one sentence at most, and harms nothing.

``pytest tests/test_hostile_runs.py --hostile-runs 500 --hostile-seed 7`` tries more.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parent / "hostile" / "runner.py"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_hostile_command_lines_end_in_one_sentence_at_most(pytestconfig: pytest.Config) -> None:
    count, seed = (str(pytestconfig.getoption(f"--hostile-{n}")) for n in ("runs", "seed"))

    done = subprocess.run(
        [sys.executable, str(RUNNER), "--count", count, "--seed", seed],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{count} runs of seed {seed}, 0 of them wrong" in done.stdout
