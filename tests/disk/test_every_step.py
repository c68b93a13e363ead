"""A process that is killed before any step on the disk: the next run finds old or new, whole."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_ifa.disk import WorkFolder, clear_leftovers, whole_file, whole_folder

if sys.platform == "win32":
    pytest.skip("children are forked", allow_module_level=True)

from tests.disk.processes import in_a_small_process, killed_before_step

OLD = {"a.csv": b"old a", "b.csv": b"old b", "series/table_0001.csv": b"old", "note.txt": b"mine"}
NEW = {"a.csv": b"new a", "c.csv": b"new c", "series/table_0001.csv": b"new"}
AFTER = NEW | {"note.txt": b"mine"}


def put(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def write_folder(out: Path) -> None:
    with whole_folder(out, overwrite=True, obsolete=["b.csv"]) as place:
        put(place, NEW)


def write_file(out: Path) -> None:
    with whole_file(out / "a.csv", "table", overwrite=True) as part:
        part.write_bytes(b"new a")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results, beside the cache."""
    monkeypatch.setenv("NAPARI_IFA_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "results" / "out").mkdir(parents=True)
    return tmp_path / "results" / "out"


@pytest.fixture(params=["cache on the disk", "cache elsewhere"])
def elsewhere(request: pytest.FixtureRequest) -> bool:
    return request.param == "cache elsewhere"


def get_ready(place: Path, elsewhere: bool) -> None:
    """Let the cache be said to lie on another disk, and import what steps would be counted of."""
    if elsewhere:
        import napari_ifa.disk.work as work

        work.same_disk = lambda one, _: "cache" not in str(one)
    WorkFolder(place.parent.parent).remove()


@pytest.mark.parametrize(
    ("work", "before", "after"),
    [
        (write_folder, OLD, AFTER),
        (write_folder, {}, NEW),
        (write_file, OLD, OLD | {"a.csv": b"new a"}),
    ],
    ids=["replaced folder", "new folder", "file"],
)
def test_old_or_new_and_nothing_else(
    work: Callable[[Path], None], before: dict, after: dict, place: Path, elsewhere: bool
) -> None:
    in_a_small_process(every_step, work, before, after, place, elsewhere)


def every_step(
    work: Callable[[Path], None], before: dict, after: dict, place: Path, elsewhere: bool
) -> None:
    get_ready(place, elsewhere)
    cache = place.parent.parent / "cache"
    outcomes = []
    halves = 0
    step = 1
    while True:
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        put(place, before)
        killed = killed_before_step(step, lambda: work(place))
        halves += files(place) not in (before, after)
        clear_leftovers()

        found = files(place.parent)
        assert found in (
            {f"out/{name}": data for name, data in before.items()},
            {f"out/{name}": data for name, data in after.items()},
        ), step
        left = [path.name for path in cache.rglob("*") if path.is_file()]
        assert not [name for name in left if not name.endswith((".lock", ".lock.json"))], step
        assert [path.name for path in place.parent.iterdir()] == ["out"], step
        outcomes.append(found.get("out/a.csv"))
        if not killed:
            break
        step += 1
    assert step > 20
    # Three old ones go and three new ones come, one after the other.
    assert halves == (0 if work is write_file else 5 if before else 2)
    assert outcomes[0] == before.get("a.csv")
    assert outcomes[-1] == after["a.csv"]


def test_clearing_may_be_killed_too(place: Path, elsewhere: bool) -> None:
    """Of an exchange that is half done, whatever step its undoing ends at."""
    in_a_small_process(every_step_of_clearing, place, elsewhere)


def every_step_of_clearing(place: Path, elsewhere: bool) -> None:
    get_ready(place, elsewhere)
    half = 1
    step = 1
    while True:
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        put(place, OLD)
        while killed_before_step(half, lambda: write_folder(place)) and files(place) == OLD:
            clear_leftovers()
            half += 1
        assert files(place) != OLD, "some files have moved"
        killed = killed_before_step(step, lambda: [clear_leftovers()].clear())
        clear_leftovers()
        assert files(place.parent) in (
            {f"out/{name}": data for name, data in OLD.items()},
            {f"out/{name}": data for name, data in AFTER.items()},
        ), (half, step)
        if not killed:
            break
        step += 3
    assert step > 10
