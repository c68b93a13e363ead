"""Kill −9 at random moments of every command that writes; the next run puts all in order.

``--crash-runs N`` says how often each command is killed; a few times by default.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sys
from itertools import product
from pathlib import Path

import pytest

from napari_ifa import samples

if sys.platform == "win32":
    pytest.skip("children are forked", allow_module_level=True)

from tests.crash.sandbox import Sandbox, warm

PATIENT = "DOE_JANE"
BUNDLE = str(samples.bundle("clean"))
#: A command that writes nothing: the next run of any command clears.
NEXT = ["series", "in/cases/0.nii.gz"]


def _cohort(folder: Path) -> None:
    """Four cases of the sample data, two of each of two classes, called by a patient's name."""
    import json

    datalist = samples.cohort("clean")
    entries = json.loads(datalist.read_text("utf-8"))["validation"]
    labels = sorted({str(entry["label"]) for entry in entries})[:2]
    chosen = [
        entry for label in labels for entry in [e for e in entries if str(e["label"]) == label][:2]
    ]
    (folder / "cases").mkdir(parents=True)
    with (folder / "cases.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label"])
        for number, entry in enumerate(chosen):
            shutil.copy(datalist.parent / entry["image"], folder / "cases" / f"{number}.nii.gz")
            named = folder / "cases" / f"{PATIENT}_{number}.nii.gz"
            shutil.copy(datalist.parent / entry["image"], named)
            writer.writerow([f"cases/{named.name}", entry["label"]])


COHORT = ["--bundle", BUNDLE, "--cohort", "in/cases.csv"]
COMMANDS = {
    "analyze": ["analyze", *COHORT, "--batch-size", "1", "-o", "out/a.nc"],
    "explain": [
        *["explain", "--bundle", BUNDLE, "--analysis", "in/analysis.nc"],
        *[f"in/{PATIENT}.zip", "--dicom", "--class", "0", "-o", "out/maps"],
    ],
    "evaluate": ["evaluate", *COHORT, "--analysis", "in/analysis.nc", "-o", "out/evaluation"],
    "findings": ["findings", "in/analysis.nc", "-o", "out/findings"],
    "report": [
        *["report", "in/analysis.nc", "--findings", "in/findings"],
        *["--tables", "out/tables", "-o", "out/report.html"],
    ],
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read: a cohort, a study as a zip archive, an analysis, its findings."""
    warm()
    root = tmp_path_factory.mktemp("inputs")
    place = Sandbox(root / "root", root / "root" / "home")
    for folder in (place.home, place.temporary, place.root / "in"):
        folder.mkdir(parents=True)
    _cohort(place.root / "in")
    shutil.make_archive(str(place.root / "in" / PATIENT), "zip", samples.dicom_series())
    analyze = ["analyze", *COHORT, "--profiles", "float16", "-o", "in/analysis.nc"]
    assert place.run(analyze)[0] == 0, (root / "said.txt").read_text()
    assert place.run(["findings", "in/analysis.nc", "-o", "in/findings"])[0] == 0
    return place.root / "in"


def _sandbox(folder: Path, inputs: Path, home: Path) -> Sandbox:
    place = Sandbox(folder / "root", home)
    place.temporary.mkdir(parents=True)
    (place.root / "out").mkdir()
    place.home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(inputs, place.root / "in")
    return place


def _results(place: Sandbox) -> dict[str, bytes]:
    files = place.files()
    return {name: content for name, content in files.items() if name.startswith("out/")}


def _home(tmp_path: Path, where: str) -> Path:
    if where == "same disk":
        return tmp_path / "home"
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk here")
    home = other / f"napari-ifa-test-{os.getpid()}-{tmp_path.name}"
    return home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every command with the cache on either disk; where each is killed once, on one of them."""
    if "where" in metafunc.fixturenames:
        pairs = list(product(COMMANDS, ("same disk", "other disk")))
        if metafunc.config.getoption("--crash-runs") == 1:
            pairs = pairs[::3]
        metafunc.parametrize(("command", "where"), pairs)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_nothing_is_left_and_old_results_are_whole(
    command: str, where: str, inputs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    runs = int(request.config.getoption("--crash-runs"))
    home = _home(tmp_path, where)
    place = _sandbox(tmp_path, inputs, home)
    said = tmp_path / "said.txt"
    words = COMMANDS[command]
    try:
        code, seconds = place.run(words)
        assert code == 0, said.read_text()
        new_names = set(_results(place))
        # An earlier result of something else: as another work left it.
        for name in new_names:
            if name.endswith((".md", ".html", ".csv")):
                with (place.root / name).open("ab") as stream:
                    stream.write(b"\nof another work\n")
        old = _results(place)
        moments = random.Random(command + where)
        killed = 0
        for _ in range(runs):
            shutil.rmtree(place.root / "out")
            for name, content in old.items():
                (place.root / name).parent.mkdir(parents=True, exist_ok=True)
                (place.root / name).write_bytes(content)
            before = place.files()
            again = [*words, "--overwrite"]
            code, _ = place.run(again, kill_after=moments.uniform(0, 1.1 * seconds))
            assert code in (0, -signal.SIGKILL), said.read_text()
            killed += code != 0

            assert place.run(NEXT)[0] == 0, said.read_text()
            found = place.files()
            parts = {name for name in found if ".nc.parts/" in name}
            assert set(found) - parts == set(before), "nothing is left"
            assert place.left_in_cache() == []
            # Of files there the line above knows which are not the command's.
            assert not [path for path in place.temporary.iterdir() if path.is_dir()]
            results = _results(place)
            changed = {name for name in old if results[name] != old[name]}
            marked = {name for name in old if old[name].endswith(b"of another work\n")}
            if command == "report":
                # Two results: the tables, and the page.
                tables = {name for name in marked if name.startswith("out/tables/")}
                assert not changed & tables or tables <= changed
            else:
                assert not changed or marked <= changed, "all old or all new"
            resume = ["--resume"] if any("shard_" in name for name in parts) else []
            code, _ = place.run([*again, *resume])
            assert code == 0, said.read_text()
            assert set(place.files()) == set(before)
            assert place.left_in_cache() == []
        print(f"{command}, {where}: {killed} of {runs} killed in {seconds:.1f} s")
    finally:
        if where == "other disk":
            shutil.rmtree(home, ignore_errors=True)
