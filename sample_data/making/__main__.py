"""``python -m sample_data.making make|train|all --out DIR``: make the sample data again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sample_data.making.cohort import VERSIONS, write_cohort


def main(arguments: list[str] | None = None) -> int:
    """Make the phantoms, train the networks, or both; progress goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m sample_data.making", description=__doc__)
    parser.add_argument("what", choices=["make", "train", "all"])
    parser.add_argument("--out", type=Path, default=Path("sample_data"), help="folder to fill")
    parser.add_argument("--version", choices=VERSIONS, action="append", help="default: both")
    chosen = parser.parse_args(arguments)

    def report(done: int, total: int) -> None:
        if done % 12 == 0 or done == total:
            print(f"{done} of {total} heads", flush=True)

    for version in chosen.version or VERSIONS:
        if chosen.what in ("make", "all"):
            print(f"making the {version} cohort", flush=True)
            write_cohort(version, chosen.out, report)
        if chosen.what in ("train", "all"):
            from sample_data.making.training import train_bundle

            train_bundle(version, chosen.out, report=lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
