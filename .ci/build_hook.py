"""Build hook: brings the top-level manifest and sample data into the package.

npe2 looks for the manifest only inside the package's own folder, and the sample data are read from
there too, while both stand at the top level of the repository. A wheel gets them packed in; an
editable install has no files of its own and gets links beside the source, or copies where the
system refuses links.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BROUGHT_IN = ("napari.yaml", "sample_data")
#: The scripts that made the sample data need the checkout.
LEFT_OUT = ("making", "__pycache__")


class BringIntoPackage(BuildHookInterface[Any]):
    """Packs or links ``BROUGHT_IN`` into ``napari_ifa``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before a wheel is built; ``version`` is "standard" or "editable"."""
        root = Path(self.root)
        for name in BROUGHT_IN:
            if not (root / name).exists():
                raise FileNotFoundError(f"'{name}' is missing at the top level of {root}")
            if version == "editable":
                link_or_copy(root / name, root / "src" / "napari_ifa" / name)
            else:
                for part in parts_of(root / name):
                    packed = part.relative_to(root).as_posix()
                    build_data["force_include"][str(part)] = f"napari_ifa/{packed}"


def parts_of(place: Path) -> list[Path]:
    """What a wheel gets of a file or folder: itself, or what stands in it."""
    if place.is_file():
        return [place]
    return sorted(part for part in place.iterdir() if part.name not in LEFT_OUT)


def link_or_copy(source: Path, target: Path) -> None:
    """Let ``target`` be ``source``: a relative link, or a fresh copy where links are refused."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    try:
        target.symlink_to(os.path.relpath(source, target.parent), source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
