"""Runs hostile command lines one by one, each in a process of its own, and says what was wrong.

``python tests/hostile/runner.py --seed 7 --count 500`` tries five hundred;
``python tests/hostile/runner.py --seed 7 --only 123`` shows one of them.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.hostile.command_lines import CommandLine, command_line
from tests.hostile.sound import Sound, made_in
from tests.hostile.tricks import CANARY

#: What a run may take: seconds, those not counted in which another process had the processor, and
#: bytes beyond those of the process it began in.
SECONDS, BYTES = 5.0, 2**30
#: A run that does not end by itself is ended, and none may take the whole machine.
LONGEST, MOST = 30.0, 6 * 2**30
_PAUSE = 0.01
#: Letters of one line on standard error, each of which an ASCII terminal may show as six.
LONGEST_LINE = 6100


@dataclass
class Outcome:
    """What became of a run; ``wrong`` says what should not have."""

    number: int
    kind: str
    what: str
    arguments: list[str]
    code: int
    seconds: float
    growth: int
    errors: str
    wrong: list[str] = field(default_factory=list)


def run(line: CommandLine, number: int, folder: Path, canary: Path) -> Outcome:
    """One command line in a process of its own, whose temporary folder is ``folder / "tmp"``."""
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    before = _listing(folder)
    outside = _listing(folder.parent, levels=1)
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Pages of libraries are not copied, so a child begins with less than its parent has.
        os.write(tells, str(_resident()).encode())
        _child(line, folder)
    base = int(os.read(told, 32))
    os.close(told)
    os.close(tells)
    seconds, status, used = _ended(pid)
    outcome = Outcome(
        number=number,
        kind=line.kind,
        what=line.what,
        arguments=line.arguments,
        code=os.waitstatus_to_exitcode(status),
        seconds=round(seconds, 2),
        growth=max(0, used.ru_maxrss * 1024 - base),
        errors=(folder / "stderr").read_bytes().decode("utf-8", "backslashreplace")[-4000:],
    )
    printed = (folder / "stdout").read_bytes().decode("utf-8", "backslashreplace")
    outcome.wrong = _wrong(outcome, printed)
    if canary.exists():
        outcome.wrong.append("code was run")
        canary.unlink()
    if changed := _changes(before, _listing(folder)):
        outcome.wrong.append(f"left behind: {changed[:5]}")
    if changed := _changes(outside, _listing(folder.parent, levels=1)):
        outcome.wrong.append(f"written outside: {changed[:5]}")
    return outcome


def _child(line: CommandLine, folder: Path) -> None:
    """Never returns."""
    code = 99
    try:
        os.setpgid(0, 0)
        streams = [os.open(os.devnull, os.O_RDONLY)]
        streams += [os.open(folder / n, os.O_CREAT | os.O_WRONLY) for n in ("stdout", "stderr")]
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MOST, size + MOST))
        os.environ |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
        # What an ended run left there the next one removes.
        os.environ["NAPARI_IFA_CACHE_DIR"] = str(folder.parent.parent / "cache")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            os.environ.pop(name, None)
        tempfile.tempdir = None
        os.chdir(folder / "tmp")
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(open(n, "wb"), line.encoding, e)  # noqa: SIM115
            for n, e in ((1, "strict"), (2, "backslashreplace"))
        )
        sys.argv = ["napari-ifa", *line.arguments]
        from napari_ifa.cli import main

        try:
            code = main(line.arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 98
        except BaseException:
            traceback.print_exc()
        gc.collect()
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ended(pid: int) -> tuple[float, int, resource.struct_rusage]:
    """Seconds in which the run computed or waited, its status and what it used.

    Those in which another process had the processor do not count, nor those in which this one was
    held up as well, as all of a container is that has used its share.
    """
    start, queued, held_up = time.monotonic(), 0.0, 0.0
    while True:
        with suppress(OSError, IndexError, ValueError):
            queued = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        ended, status, used = os.wait4(pid, os.WNOHANG)
        now = time.monotonic()
        own = now - start - max(queued, held_up)
        if ended:
            _end_group(pid)
            return max(own, 0.0), status, used
        if own > LONGEST or now - start > 20 * LONGEST:
            _end_group(pid)
        time.sleep(_PAUSE)
        held_up += max(0.0, time.monotonic() - now - 2 * _PAUSE)


def _end_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _wrong(outcome: Outcome, printed: str) -> list[str]:
    wrong = []
    if outcome.code not in (0, 2):
        wrong.append(f"code {outcome.code}")
    if outcome.seconds > SECONDS:
        wrong.append(f"{outcome.seconds:.1f} s")
    if outcome.growth > BYTES:
        wrong.append(f"{outcome.growth / 2**20:.0f} MiB")
    said = outcome.errors
    lines = said.splitlines()
    if "Traceback" in said or "Exception ignored" in said:
        wrong.append("a traceback")
    if outcome.code == 2 and (len(lines) != 1 or not said.startswith("napari-ifa")):
        wrong.append(f"{len(lines)} lines of error")
    if outcome.code == 0 and said:
        wrong.append("words on standard error")
    if any(len(one) > LONGEST_LINE for one in lines):
        wrong.append(f"a line of {max(map(len, lines))} letters")
    for stream, words in (("error", said), ("output", printed)):
        # What is not printable is escaped, or a line's end.
        if bad := {c for c in words if not c.isprintable() and c != "\n"}:
            wrong.append(f"{sorted(map(ascii, bad))} on standard {stream}")
    return wrong


def _listing(folder: Path, levels: int = 99) -> dict[str, tuple[int, int]]:
    """Size and time of everything below, except what a run may write."""
    found = {}
    for root, folders, files in os.walk(folder):
        place = Path(root).relative_to(folder)
        if place == Path():
            for own in ("out", "stdout", "stderr"):
                if levels == 99:
                    folders[:] = [n for n in folders if n != own]
                    files[:] = [n for n in files if n != own]
        if len(place.parts) >= levels:
            folders.clear()
            continue
        for name in [*folders, *files]:
            status = os.lstat(Path(root) / name)
            is_folder = name in folders
            found[str(place / name)] = (0, 0) if is_folder else (status.st_size, status.st_mtime_ns)
    return found


def _changes(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    return sorted(n for n in {*before, *after} if before.get(n) != after.get(n))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _warm(sound: Sound, folder: Path) -> None:
    """What the commands import is loaded before the first run is measured."""
    import torch

    from napari_ifa.cli import main

    # A child has none of its parent's threads, and would wait for them for ever.
    torch.set_num_threads(1)
    out = str(folder / "warm")
    model = ["--bundle", str(sound.bundle)]
    lines = [
        ["series", str(sound.dicom)],
        ["explain", *model, "--analysis", str(sound.analysis), str(sound.dicom), "-o", out],
        ["findings", str(sound.analysis), "-o", f"{out}_findings"],
        ["report", str(sound.analysis), "-o", f"{out}_report/r.html"],
    ]
    kept = sys.stdout
    sys.stdout = io.StringIO()
    try:
        for line in lines:
            assert main(line) == 0, line
    finally:
        sys.stdout = kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--json", type=Path, help="where each run's outcome is written, one a line")
    options = parser.parse_args()
    first, count = (options.first, options.count) if options.only is None else (options.only, 1)
    wrong = 0
    home = Path(tempfile.mkdtemp(prefix="hostile_"))
    try:
        sound = made_in(home)
        _warm(sound, home)
        (home / "runs").mkdir()
        for number in range(first, first + count):
            folder = home / "runs" / "run"
            folder.mkdir()
            canary = home / "runs" / CANARY
            line = command_line(options.seed, number, folder, sound, canary)
            outcome = run(line, number, folder, canary)
            if outcome.seconds > SECONDS:
                # The machine may have been busy with something else: the better one of two counts.
                _emptied(folder)
                line = command_line(options.seed, number, folder, sound, canary)
                outcome = run(line, number, folder, canary)
            wrong += bool(outcome.wrong)
            _report(outcome, options, line.encoding)
            _emptied(folder)
            folder.rmdir()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{count} runs of seed {options.seed}, {wrong} of them wrong")
    return bool(wrong)


def _emptied(folder: Path) -> None:
    """Nothing is left in it, also of folders that may not be read."""
    for root, folders, _ in os.walk(folder):
        for name in folders:
            if not os.path.islink(os.path.join(root, name)):
                os.chmod(os.path.join(root, name), 0o700)
    shutil.rmtree(folder)
    folder.mkdir()


def _report(outcome: Outcome, options: argparse.Namespace, encoding: str) -> None:
    if options.json is not None:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
    if outcome.wrong or options.only is not None:
        print(f"--seed {options.seed} --only {outcome.number}: {outcome.wrong}")
        print(
            f"  {outcome.kind}: {outcome.what!a}, code {outcome.code},"
            f" {outcome.seconds:.1f} s, {outcome.growth / 2**20:.0f} MiB, {encoding}"
        )
        print(f"  {' '.join(ascii(word)[:120] for word in outcome.arguments)}")
        print(f"  {outcome.errors[-1500:]!a}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
