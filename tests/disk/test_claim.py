"""Two runs on one place: the second is told of the first, and a dead one is in no one's way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from napari_ifa.disk import Claim, claimed
from napari_ifa.disk.problems import PlaceProblem as Problem
from napari_ifa.errors import AlreadyRunningError
from tests.problems import refused

if sys.platform == "win32":
    pytest.skip("children are forked", allow_module_level=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_IFA_CACHE_DIR", str(tmp_path / "cache"))


def holder(target: Path) -> int:
    """The number of a process that holds the place until it is killed."""
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed(target):
            os.write(ready[1], b"x")
            signal.pause()
    os.read(ready[0], 1)
    return child


def test_the_second_is_told_who_runs_and_since_when(tmp_path: Path) -> None:
    child = holder(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    try:
        for name in ("out", "OUT", "link", "x/../out"):
            refusal = refused(AlreadyRunningError, Problem.IN_USE, process=child)
            with refusal as caught, claimed(tmp_path / name):
                pass
            since = caught.value.facts["since"]
            assert f"{since:%Y-%m-%d %H:%M:%S} (process {child})" in str(caught.value)
        with claimed(tmp_path / "other"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_run_is_in_no_ones_way(tmp_path: Path) -> None:
    child = holder(tmp_path / "out")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with claimed(tmp_path / "out"):
        pass


def test_the_same_process_is_a_second_run_too(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "out"),
        pytest.raises(AlreadyRunningError),
        claimed(tmp_path / "out"),
    ):
        pass
    with claimed(tmp_path / "out"):
        pass


def test_a_damaged_note_leaves_out_who_it_is(tmp_path: Path) -> None:
    first, second = Claim(tmp_path / "a.lock"), Claim(tmp_path / "a.lock")
    assert first.take()
    (tmp_path / "a.lock.json").write_text("{")
    assert not second.take()
    assert "since" not in str(second.taken())
    (tmp_path / "a.lock.json").write_text(
        '{"pid": Infinity, "host": "node17", "since": "2026-01-02T03:04:05+00:00"}'
    )
    assert "since" not in str(second.taken())
    (tmp_path / "a.lock.json").write_text(
        '{"pid": 7, "host": "node17", "since": "2026-01-02T03:04:05+00:00"}'
    )
    assert "since 2026-01-02 03:04:05 (process 7 on node17)" in str(second.taken())
    first.release()
    assert second.take()
    second.release()
