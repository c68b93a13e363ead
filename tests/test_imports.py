"""Imports run one way, and only the viewer knows napari and Qt."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "napari_ifa"

# The rooms in the order of the data: each may import those before it. Imports inside functions and
# under TYPE_CHECKING count too.
ROOMS = (
    *("wording", "plain", "errors", "progress", "memory", "disk", "samples"),
    *("volumes", "reading", "models", "cam", "cohorts", "analysis", "evaluation", "export"),
    *("viewer", "cli"),
)
GUI = {"app_model", "magicgui", "napari", "npe2", "pyqtgraph", "qtpy", "superqt", "vispy"}
GUI |= {"PyQt5", "PyQt6", "PySide2", "PySide6"}
MAY_PRINT = {"cli", "viewer"}

FILES = sorted(SOURCE.rglob("*.py"))


def part_of(file: Path) -> str:
    """Top-level part a file belongs to: "volumes" for volumes/dicom.py, "cli" for cli/study.py."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute dotted names of all that is imported anywhere in ``tree``.

    ``package`` is the package the file lies in, for relative imports. ``from a import b`` gives
    "a.b", since b may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                anchor = parents[: len(parents) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(file: Path) -> set[str]:
    package = ".".join(["napari_ifa", *file.relative_to(SOURCE).parent.parts])
    return set(imported_modules(ast.parse(file.read_text("utf-8")), package))


@pytest.fixture(params=FILES, ids=[str(file.relative_to(SOURCE)) for file in FILES])
def source_file(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_a_room_imports_only_the_rooms_before_it(source_file):
    room = part_of(source_file)
    own = {name for name in imports_of(source_file) if name.split(".")[0] == "napari_ifa"}
    reached = {name.split(".")[1] for name in own} - {room}
    assert reached <= set(ROOMS if room == "__init__" else ROOMS[: ROOMS.index(room)])


def test_every_room_has_its_place_in_the_order():
    assert {part_of(file) for file in FILES} - {"__init__"} == set(ROOMS)


def test_only_the_viewer_imports_napari_or_qt(source_file):
    roots = {name.split(".")[0] for name in imports_of(source_file)}
    if part_of(source_file) != "viewer":
        assert not roots & GUI


def test_every_package_that_is_imported_is_declared():
    owners = packages_distributions()
    # Dask is asked for where the work is to be shared, and only there.
    base = [r for r in requires("napari-ifa") if "extra ==" not in r or "distributed" in r]
    declared = {re.match(r"[\w.-]+", line)[0].lower() for line in base} | {"distributed"}
    roots = {name.split(".")[0] for file in FILES for name in imports_of(file)}
    for root in roots - sys.stdlib_module_names - {"napari_ifa"}:
        assert {owner.lower() for owner in owners[root]} & declared, root


def test_cli_imports_the_viewer_only_inside_functions():
    for file in (SOURCE / "cli").glob("*.py"):
        body = ast.parse(file.read_text("utf-8")).body
        top = ast.Module([node for node in body if is_import(node)])
        assert not {name for name in imported_modules(top, "napari_ifa") if ".viewer" in name}


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_nothing_below_the_viewer_prints(source_file):
    if part_of(source_file) in MAY_PRINT or source_file.name == "__main__.py":
        return
    calls = (n for n in ast.walk(ast.parse(source_file.read_text("utf-8"))) if is_print(n))
    assert [call.lineno for call in calls] == []


def is_print(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    )


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {
        ".".join(["napari_ifa", *file.relative_to(SOURCE).with_suffix("").parts]).removesuffix(
            ".__init__"
        ): file
        for file in FILES
    }


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that import one another, directly or over others (Tarjan, 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in sorted(imports[module]):
            if other not in number:
                visit(other)
            if other in path:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            place = path.index(module)
            found.append(set(path[place:]))
            del path[place:]

    for module in sorted(imports):
        if module not in number:
            visit(module)
    return [one for one in found if len(one) > 1]


def test_no_files_import_one_another_in_a_circle():
    known = modules()
    imports: dict[str, set[str]] = {}
    for name, file in known.items():
        # "a.b" is the module b, or a name in a.
        whole = {one if one in known else one.rpartition(".")[0] for one in imports_of(file)}
        imports[name] = (whole & known.keys()) - {name}
    assert circles(imports) == []


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [{"a", "b"}]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}}, ["abc", "de"]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
    ],
)
def test_every_circle_is_found(imports, expected):
    assert sorted(map(sorted, circles(imports))) == sorted(map(sorted, expected))


@pytest.mark.parametrize(
    ("line", "package", "expected"),
    [
        (
            "import napari_ifa.viewer.state.session",
            "napari_ifa.cam",
            {"napari_ifa.viewer.state.session"},
        ),
        ("from napari_ifa import viewer", "napari_ifa.cam", {"napari_ifa.viewer"}),
        (
            "from ..viewer.state import session",
            "napari_ifa.cam",
            {"napari_ifa.viewer.state.session"},
        ),
        ("from .. import viewer", "napari_ifa.cam", {"napari_ifa.viewer"}),
        ("from .weights import gradcam", "napari_ifa.cam", {"napari_ifa.cam.weights.gradcam"}),
        ("def f():\n    import napari.layers", "napari_ifa", {"napari.layers"}),
        ("if TYPE_CHECKING:\n    import qtpy", "napari_ifa", {"qtpy"}),
    ],
)
def test_every_way_to_import_is_seen(line, package, expected):
    assert set(imported_modules(ast.parse(line), package)) == expected


def test_dicom_is_read_from_headers_to_series_to_pixels():
    order = ("header", "series", "pixels")
    for file in (SOURCE / "reading" / "dicom").glob("*/*.py"):
        later = order[order.index(file.parent.name) + 1 :]
        reached = {name.split(".")[3] for name in imports_of(file) if ".reading.dicom." in name}
        assert not reached & set(later), file.name
