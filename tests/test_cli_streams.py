"""What the commands print does nothing to a terminal, and whoever stops reading stops them."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from napari_ifa import samples
from napari_ifa.cli import main
from napari_ifa.cli.streams import PlainStream, plain_streams, say

COMMAND = [sys.executable, "-m", "napari_ifa.cli"]
SERIES = ["series", str(samples.dicom_series())]


def test_a_stream_keeps_ends_of_lines_and_no_other_command() -> None:
    below = io.StringIO()
    PlainStream(below).write("one\x1b[2J\ntwo\u202e\r\nthree\n")
    assert below.getvalue() == "one [2J\ntwo  \nthree\n"


def test_a_name_cannot_begin_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with plain_streams():
        say("case a\nnapari-ifa: all is well\u2028")
    assert capsys.readouterr().out == "case a napari-ifa: all is well\n"


def test_an_option_is_repeated_without_what_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["series", "x", "--\x1b]0;mine\x07\nnapari-ifa: done"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.strip().isprintable()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_whoever_has_read_enough_ends_the_output_quietly(more: list[str]) -> None:
    with subprocess.Popen(
        [*COMMAND, *SERIES, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait() == 0


def test_an_ascii_terminal_shows_every_name(tmp_path) -> None:
    path = tmp_path / "頭.nii.gz"
    path.write_bytes((samples.sample_data() / "clean" / "head_001.nii.gz").read_bytes())
    done = subprocess.run(
        [*COMMAND, "series", str(tmp_path)],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert done.stdout.isascii()
