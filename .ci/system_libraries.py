"""Makes sure that a napari window can open on a virtual display: OpenGL, Qt's libraries and Xvfb.

Also installs the DICOM validator that the tests of the exports ask. Not every Linux has it: those
tests are skipped where it is missing, but CI has to have it.

Needs nothing but Python. On Debian and Ubuntu, as root, what is missing is installed; on any other
Linux one line names it. On macOS and Windows Qt's wheel brings all it needs, and there is nothing
to do.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

# What is loaded, or the program that is run, and the Debian package that has it.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libGLX_mesa.so.0": "libglx-mesa0",
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
PROGRAMS = {"Xvfb": "xvfb"}
VALIDATOR = {"dciodvfy": "dicom3tools"}


def loads(library: str) -> bool:
    """Whether the dynamic loader finds ``library``."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing() -> dict[str, str]:
    """What is not there, with the Debian package of each."""
    libraries = {name: package for name, package in LIBRARIES.items() if not loads(name)}
    wanted = PROGRAMS | VALIDATOR
    programs = {name: package for name, package in wanted.items() if not shutil.which(name)}
    return libraries | programs


def install(packages: list[str]) -> None:
    """Install Debian packages; what apt-get has to say goes to its own output."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)


def main() -> int:
    """Return 0 when all is there, 1 after one line that names what is not."""
    if not sys.platform.startswith("linux"):
        return 0
    absent = missing()
    if absent and shutil.which("apt-get") and os.geteuid() == 0:
        install(sorted(set(absent.values())))
        absent = missing()
    if not os.environ.get("CI"):
        absent = {name: package for name, package in absent.items() if name not in VALIDATOR}
    if not absent:
        return 0
    packages = " ".join(sorted(set(absent.values())))
    sys.stderr.write(
        f"Missing for the tests: {', '.join(absent)}. Install them with your system's "
        f"package manager (on Debian or Ubuntu: sudo apt-get install {packages}).\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
