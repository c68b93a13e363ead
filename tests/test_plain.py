from __future__ import annotations

import pytest

from napari_ifa.errors import CohortError
from napari_ifa.plain import LONGEST, MOST_TEXT, plain, reason, sentence, shortened


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\n", "\r", "\t", "\b"),
        *("\u200b", "\u200e", "\u2028", "\u2029", "\ufeff"),
        *("\u202a", "\u202e", "\u2066", "\u2069"),
    ],
)
def test_what_is_not_seen_as_itself_becomes_a_space(character: str) -> None:
    assert plain(f"a{character}b") == "a b"


def test_letters_of_every_script_stay() -> None:
    text = "Größe 頭部 ราก рис. №5 ½ 😀 e\u0301"
    assert plain(text) == text


def test_bytes_of_a_name_that_are_no_text_are_shown_and_can_be_written() -> None:
    shown = plain(b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert shown == "caf\\udce9"
    assert shown.encode("utf-8") == b"caf\\udce9"


def test_a_sentence_is_one_line_and_keeps_its_beginning_and_end() -> None:
    said = sentence("begin\n" + "x" * 10**6 + "\r\nend.")
    assert len(said) <= LONGEST
    assert said.startswith("begin x")
    assert said.endswith("x end.")


def test_an_error_says_nothing_that_a_terminal_obeys() -> None:
    error = CohortError("there is no '\x1b[2J\u202e'")
    assert str(error) == "there is no ' [2J '"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one.\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (OSError("no file /home/a_name/x/image.nii"), "no file image.nii"),
    ],
)
def test_an_error_is_said_by_its_first_line_without_folders(error: Exception, said: str) -> None:
    assert reason(error) == said


def test_a_foreign_text_is_cut_to_what_can_be_read() -> None:
    assert shortened("a\n b") == "a b"
    assert shortened("x" * (MOST_TEXT + 1)) == "x" * MOST_TEXT + "…"
