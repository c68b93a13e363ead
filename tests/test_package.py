"""What a person gets who installs the package: manifest, sample data, API, quick start."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module, resources
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import napari_ifa

CHECKOUT = Path(__file__).resolve().parents[1]


def python(*arguments: str, folder: Path = CHECKOUT) -> str:
    """Run a fresh interpreter and return what it writes to standard output."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def top_level_files() -> dict[str, bytes]:
    """The manifest and the sample data of the checkout: path below the package -> content."""
    files = [CHECKOUT / "napari.yaml", *(CHECKOUT / "sample_data").rglob("*")]
    making = CHECKOUT / "sample_data" / "making"
    return {
        file.relative_to(CHECKOUT).as_posix(): file.read_bytes()
        for file in files
        if file.is_file() and making not in file.parents
    }


# -- the manifest and the sample data -----------------------------------------------------------


def test_installed_package_holds_the_top_level_manifest_and_sample_data():
    package = resources.files("napari_ifa")
    for path, content in top_level_files().items():
        assert package.joinpath(path).read_bytes() == content, path


@pytest.fixture(scope="module")
def wheel_from_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an unpacked sdist, as pip does for a user without a checkout."""
    out = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(out))
    (sdist,) = out.glob("*.tar.gz")
    shutil.unpack_archive(sdist, out)
    unpacked = out / sdist.name.removesuffix(".tar.gz")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(out), folder=unpacked)
    (wheel,) = out.glob("*.whl")
    return wheel


def test_wheel_from_sdist_holds_the_top_level_files_once(wheel_from_sdist):
    with zipfile.ZipFile(wheel_from_sdist) as wheel:
        names = wheel.namelist()
        assert len(names) == len(set(names))
        brought = {f"napari_ifa/{path}": content for path, content in top_level_files().items()}
        found = {name for name in names if "sample_data" in name or name.endswith("napari.yaml")}
        assert found == set(brought)
        assert {name: wheel.read(name) for name in brought} == brought


def test_wheel_holds_every_module_and_nothing_beside_the_package(wheel_from_sdist):
    with zipfile.ZipFile(wheel_from_sdist) as wheel:
        names = set(wheel.namelist())
    source = CHECKOUT / "src"
    modules = {file.relative_to(source).as_posix() for file in source.rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert {name.split("/")[0] for name in names} == {
        "napari_ifa",
        f"napari_ifa-{napari_ifa.__version__}.dist-info",
    }


def test_npe2_finds_and_accepts_the_manifest():
    from npe2 import PluginManifest

    found = PluginManifest.from_distribution("napari-ifa")
    assert found.name == "napari-ifa"
    assert found.display_name == manifest()["display_name"]


def manifest() -> dict[str, Any]:
    return yaml.safe_load((CHECKOUT / "napari.yaml").read_text("utf-8"))


def values_of(key: str, node: object) -> list[str]:
    """Every value of ``key`` anywhere in a tree of dictionaries and lists."""
    if isinstance(node, dict):
        here = [node[key]] if isinstance(node.get(key), str) else []
        return here + [value for child in node.values() for value in values_of(key, child)]
    if isinstance(node, list):
        return [value for child in node for value in values_of(key, child)]
    return []


def test_every_python_name_of_the_manifest_is_callable():
    names = values_of("python_name", manifest())
    assert names
    for name in names:
        module, _, function = name.partition(":")
        assert callable(getattr(import_module(module), function)), name


def test_every_command_the_manifest_uses_is_defined_in_it_once():
    defined = values_of("id", manifest()["contributions"]["commands"])
    assert len(defined) == len(set(defined))
    assert set(values_of("command", manifest())) <= set(defined)


def test_console_script_is_the_command_line():
    (script,) = entry_points(group="console_scripts", name="napari-ifa")
    assert script.value == "napari_ifa.cli:main"
    assert callable(script.load())


# -- the headless API ---------------------------------------------------------------------------


def test_every_public_name_is_there_and_no_module():
    for name in napari_ifa.__all__:
        value = getattr(napari_ifa, name)
        assert callable(value), name
        assert not isinstance(value, ModuleType), name


def test_public_name_is_the_function_after_its_module_of_the_same_name_was_imported():
    python("-c", "import napari_ifa.analysis.explain, napari_ifa as i; assert callable(i.explain)")


def test_public_names_are_listed_before_they_are_used():
    assert set(napari_ifa.__all__) <= set(dir(napari_ifa))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        napari_ifa.no_such_name  # noqa: B018


# -- start-up -----------------------------------------------------------------------------------

HEAVY = ("torch", "monai", "highdicom", "matplotlib.pyplot", "captum", "pandas")


def loaded_after(statement: str, modules: tuple[str, ...]) -> list[str]:
    """Which of ``modules`` a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(python("-c", code).splitlines()[-1])
    return [module for module in modules if module in loaded]


def test_import_loads_nothing_heavy():
    assert loaded_after("import napari_ifa", (*HEAVY, "napari", "qtpy", "numpy")) == []


def test_modules_of_the_manifest_load_without_torch():
    names = values_of("python_name", manifest())
    modules = ", ".join(sorted({name.partition(":")[0] for name in names}))
    heavy = ("torch", "monai", "highdicom", "captum")
    assert loaded_after(f"import {modules}", heavy) == []


def test_import_takes_hardly_longer_than_numpy():
    def seconds(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        return min(float(python("-c", code)) for _ in range(3))

    assert seconds("import numpy, napari_ifa") - seconds("import numpy") < 0.3


def test_the_lowest_versions_that_are_tried_are_those_that_are_allowed():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    allowed = [line.replace(">=", "==") for line in project["project"]["dependencies"]]
    assert project["dependency-groups"]["lowest"] == allowed
