"""Where a command writes: looked at before any work, and kept from other runs until it ends."""

from __future__ import annotations

import argparse
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from napari_ifa.cli.problems import CommandProblem
from napari_ifa.disk import Kind, check_file, check_not_read, claimed, reason_of
from napari_ifa.errors import ExistingOutputError, IfaError

#: Options and arguments that name what a command reads.
_READ = ("bundle", "cohort", "root", "analysis", "other", "image", "evaluation", "findings")

#: Letters of one name in a path, on every usual file system.
_LONGEST_NAME = 255


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )


@contextmanager
def outputs_kept(options: argparse.Namespace) -> Iterator[None]:
    """Until the block ends, what `reserve_file` and `reserve_folder` are given is kept."""
    with ExitStack() as options.claims:
        yield


def reserve_file(options: argparse.Namespace, out: Path, kind: Kind, example: str) -> None:
    """Refuse a place for a file that cannot be written or holds something that must stay.

    A result of the same kind is left to `refuse_existing`.
    """
    _check_writable(out.parent, out.name)
    if out.is_dir():
        raise IfaError(CommandProblem.FOLDER_FOR_A_FILE, out=out, example=out / example)
    _reserve(options, out)
    check_file(out, kind, overwrite=True)


def reserve_folder(options: argparse.Namespace, out: Path) -> None:
    """Refuse a place for a folder that cannot be written or is none."""
    if os.path.lexists(out) and not os.path.isdir(out):
        raise IfaError(CommandProblem.FILE_FOR_A_FOLDER)
    _check_writable(out, "")
    _reserve(options, out)


def refuse_existing(options: argparse.Namespace, out: Path) -> None:
    """Refuse a place where there is something already, unless it is to be overwritten."""
    if os.path.lexists(out) and not options.overwrite:
        raise ExistingOutputError(out)


def is_within(place: Path, other: Path) -> bool:
    """Whether a place is another one or lies below it, through links too."""
    whole, above = Path(os.path.realpath(place)), Path(os.path.realpath(other))
    return above in (whole, *whole.parents)


def _reserve(options: argparse.Namespace, out: Path) -> None:
    check_not_read(out, (getattr(options, name, None) for name in _READ))
    options.claims.enter_context(claimed(out))


def _check_writable(folder: Path, name: str) -> None:
    """Nothing is left behind by it."""
    whole = folder.absolute()
    try:
        if any(len(os.fsencode(part)) > _LONGEST_NAME for part in (*whole.parts, name)):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        # A link that leads nowhere, or round in a circle, is there and is no folder.
        existing = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
        with tempfile.TemporaryFile(dir=existing):
            pass
    except (OSError, ValueError) as error:
        why = reason_of(error) if isinstance(error, OSError) else ""
        raise IfaError(CommandProblem.NOT_WRITTEN, why=why) from error
