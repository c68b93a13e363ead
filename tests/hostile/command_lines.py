"""Command lines: sound ones on hostile inputs, and hostile ones."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.analyses import write_analysis
from tests.hostile.bundles import hostile_bundles
from tests.hostile.cohorts import write_cohort
from tests.hostile.texts import name, text
from tests.hostile.tricks import write_trick
from tests.hostile.volumes import write_study

if TYPE_CHECKING:
    from tests.hostile.sound import Sound

KINDS = ("bundle", "analysis", "volume", "cohort", "words")


@dataclass(frozen=True)
class CommandLine:
    """One run of the command line.

    Attributes
    ----------
    kind, what : which input is hostile, and how, in a few words.
    arguments : what follows ``napari-ifa``.
    encoding : of the terminal.
    is_sound : that the inputs given are those that the commands take without a word.
    """

    kind: str
    what: str
    arguments: list[str]
    encoding: str = "utf-8"


def command_line(seed: int, number: int, folder: Path, sound: Sound, canary: Path) -> CommandLine:
    """The ``number``-th of a seed; its inputs are made in ``folder``, results go to its ``out``."""
    dice = random.Random(f"{seed}:{number}")
    kind = KINDS[number % len(KINDS)]
    out = ["-o", str(folder / "out")]
    encoding = dice.choice(["utf-8", "utf-8", "ascii", "latin-1"])
    inputs = folder / "inputs"
    inputs.mkdir()
    model = ["--bundle", str(sound.bundle)]
    if kind == "bundle":
        if dice.random() < 0.35:
            ((what, bundle),) = hostile_bundles(
                inputs, dice.randrange(2**32), 1, dice.randrange(99)
            )
        else:
            bundle = inputs / name(dice)
            what = write_trick(bundle, sound.bundle, canary, dice)
        use = dice.random()
        line = ["explain", "--bundle", str(bundle), str(sound.image), *out]
        if use < 0.2:
            line = ["analyze", "--bundle", str(bundle), "--cohort", str(sound.cohort), "-o"]
            line.append(str(folder / "out" / "a.nc"))
        elif use < 0.3:
            line = ["evaluate", "--bundle", str(bundle), "--cohort", str(sound.cohort), *out]
            line += ["--analysis", str(sound.analysis)]
    elif kind == "analysis":
        file = inputs / "a.nc"
        what = write_analysis(file, sound.analysis.read_bytes(), dice)
        line = dice.choice(
            [
                ["findings", str(file), *out],
                ["report", str(file), "-o", str(folder / "out" / "r.html")],
                ["explain", *model, "--analysis", str(file), str(sound.image), *out],
                ["findings", str(sound.analysis), str(file), *out],
            ]
        )
    elif kind == "volume":
        study, what = write_study(inputs, sound, dice)
        line = dice.choice(
            [
                ["series", str(study)],
                ["series", str(study), "--json"],
                ["explain", *model, str(study), *out, *dice.choice([[], ["--dicom"]])],
                ["explain", *model, str(study), "--analysis", str(sound.analysis), *out],
            ]
        )
    elif kind == "cohort":
        cohort, what = write_cohort(inputs, sound, dice)
        line = ["analyze", *model, "--cohort", str(cohort), "-o", str(folder / "out" / "a.nc")]
        line += dice.choice([[], ["--split", dice.choice(["training", "test", text(dice)])]])
    else:
        what, line = "", _words(dice, folder, sound)
    # A name on a command line has no zeros.
    line = [word.replace("\0", "") for word in line]
    return CommandLine(kind, what, line, encoding)


#: What each command takes.
OPTIONS = {
    "demo": ["--out", "--view"],
    "series": ["--json"],
    "analyze": ["--bundle", "--layer", "--device", "--trust", "--activation", "--cohort", "--split",
                "--root", "--method", "--batch-size", "--profiles", "--skip-up-to", "--resume",
                "--workers", "--scheduler", "-o"],
    "evaluate": ["--bundle", "--layer", "--device", "--analysis", "--cohort", "--split",
                 "--skip-up-to", "--top", "--basis", "-o"],
    "findings": ["--bundle", "--cohort", "--top", "--skip-up-to", "--layer", "-o"],
    "report": ["--evaluation", "--findings", "--tables", "-o"],
    "explain": ["--bundle", "--analysis", "--method", "--series", "--allow-missing", "--class",
                "--features", "--basis", "--percentiles", "--scope", "--dicom", "--device",
                "--layer", "--activation", "-o"],
    "view": ["--analysis", "--bundle", "--layer", "--device", "--trust", "--activation"],
}  # fmt: skip
_SWITCHES = {"--view", "--json", "--trust", "--resume", "--allow-missing", "--dicom"}
_BAD = {
    "--device": ["cuda:7", "foo", "meta", "cuda:-1", "cpu:9", "mps", "xla", "cpu,cuda", "hpu"],
    "--workers": ["0", "-1", "1e9", "nan", "99999999", "x"],
    "--batch-size": ["0", "-3", "1e9", "nan", "99999999999999999999", "1.5"],
    "--scheduler": ["foo", "tcp://127.0.0.1:1", "http://x", ":", "tcp://", "127.0.0.1:9"],
    "--top": ["nan", "-1", "101%", "inf", "5 %", "%", "1e-300"],
    "--skip-up-to": ["nan", "-1", "2", "inf", "%%"],
    "--percentiles": ["nan,nan", "90,10", "50,50", "1", "-1,200", "inf,5", "1,2,3", ","],
    "--features": ["top:0", "top:nan", "only:", "only:99999", "not:-1", "only:1e3", "all:1", "top",
                   "only:" + ",".join(map(str, range(3000))), "only:" + "9" * 20, "not:0-9"],
    "--class": ["9", "-1", "lesion", "1.0", "0x1", "²", "99999999999999999999"],
    "--series": ["0", "-1", "99", "nan"],
    "--method": ["GradCAM", "lime", "cam", "gradcam"],
    "--layer": ["features.pool0", "nowhere", "class_layers.out", "features", "."],
}  # fmt: skip


def _words(dice: random.Random, folder: Path, sound: Sound) -> list[str]:
    """A command with its options, some of them as they should not be."""
    command = dice.choice([*OPTIONS, "explain", "explain", "analyze"])
    sane = {
        "--bundle": str(sound.bundle),
        "--cohort": str(sound.cohort),
        "--analysis": str(sound.analysis),
        "-o": str(folder / "out" / ("a.nc" if command == "analyze" else "")),
        "--out": "/dev/null/demo",
    }
    if command == "report":
        sane["-o"] = str(folder / "out" / "r.html")
    first = {"series": sound.image, "explain": sound.image, "findings": sound.analysis,
             "report": sound.analysis, "view": sound.image}.get(command)  # fmt: skip
    line = [] if first is None else [str(first)]
    given = [o for o in OPTIONS[command] if o in sane or dice.random() < 0.12]
    wrong = dice.choice(OPTIONS[command])
    for option in dict.fromkeys([*given, wrong]):
        if option == wrong or option not in sane:
            if option in _SWITCHES:
                line.append(option)
                continue
            line += [option, _bad(option, dice, folder, sound)]
        else:
            line += [option, sane[option]]
    if dice.random() < 0.15:
        line.insert(dice.randrange(len(line) + 1), text(dice))
    if dice.random() < 0.1:
        line.append(dice.choice(line))
    return [command if dice.random() < 0.97 else text(dice), *line]


def _bad(option: str, dice: random.Random, folder: Path, sound: Sound) -> str:
    if option in _BAD and dice.random() < 0.8:
        return dice.choice(_BAD[option])
    if option == "--out":
        # A demo that can write takes its time.
        return dice.choice(["/dev/null/demo", "/proc/demo", str(sound.image)])
    if option in ("-o", "--tables"):
        return _place_to_write(dice, folder)
    other = [sound.bundle, sound.image, sound.cohort, sound.analysis, folder / "nowhere"]
    places = [*map(str, other), "/dev/zero", "/dev/stdin", "/", "/dev/null/x", "~nobody/x", "~"]
    return dice.choice([text(dice), text(dice), *places])


def _place_to_write(dice: random.Random, folder: Path) -> str:
    """Where nothing can be written, or where words of harm become the name."""
    inputs, out = folder / "inputs", folder / "out"
    (inputs / "loop").symlink_to(inputs / "loop")
    (inputs / "file").write_text("mine")
    os.mkfifo(inputs / "pipe")
    impossible = [inputs / "loop", inputs / "loop" / "x", inputs / "file" / "x", inputs / "pipe"]
    places = [*impossible, out / ("x" * 300), out / name(dice), out]
    return dice.choice([*map(str, places), "/proc/x", ""])
