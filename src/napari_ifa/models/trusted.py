"""A bundle that a person trusts: what the safe way refuses is run, the rest goes the safe way.

Trust never makes a bundle worse: what loads without it is built by the very same steps. Only
expressions, macros and components off the allow-list are treated as MONAI's ConfigParser does.
That parser itself is not used: it looks at every section, runs every import in the file, and finds
a bundle's modules on Python's path, where those of another bundle may lie.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from napari_ifa.errors import BundleError, UntrustedModelError
from napari_ifa.models.components import ComponentBuilder
from napari_ifa.models.own_code import OwnCode
from napari_ifa.models.problems import BundleProblem
from napari_ifa.models.settings_file import nodes_in, read_settings
from napari_ifa.plain import reason, shortened

#: What expressions may name without an import, as in MONAI.
_KNOWN = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
#: The built objects within an expression, by their names in the configuration.
_REFERRED = "__local_refs"


@dataclass
class TrustedBuilder(ComponentBuilder):
    """Builds what a configuration describes, its expressions and the bundle's ``code`` included."""

    code: OwnCode = field(default_factory=lambda: OwnCode(Path.cwd()))
    _globals: dict[str, Any] = field(default_factory=dict)
    _imports: dict[str, ast.Import | ast.ImportFrom] | None = None

    def _resolve_text(self, text: str, where: str) -> Any:
        if text.startswith("$"):
            return self._evaluated(text[1:].strip(), where)
        if text.startswith("%"):
            return self._included(text[1:], where)
        return super()._resolve_text(text, where)

    def _instantiate(self, node: Mapping[str, Any], where: str) -> Any:
        self._resolve(node.get("_requires_"), f"{where}::_requires_")
        mode = self._resolve(node.get("_mode_", "default"), f"{where}::_mode_")
        name = self._resolve(node["_target_"], f"{where}::_target_")
        arguments = self._arguments(node, where)
        component, allowed = self._component(name, where)
        if mode == "callable":
            return functools.partial(component, **arguments) if arguments else component
        if mode != "default":
            raise BundleError(
                BundleProblem.MODE, name=shortened(name), where=where, mode=shortened(mode)
            )
        if allowed:
            return self._made(component, arguments, shortened(name), where)
        arguments = _without_download(component, arguments)
        return self._run(lambda: component(**arguments), f"'{shortened(name)}' at '{where}'")

    def _component(self, name: Any, where: str) -> tuple[Any, bool]:
        """The object that is meant, and whether it needs no trust."""
        try:
            return self._found(name, where), True
        except UntrustedModelError as error:
            if callable(name):
                return name, False
            found = self._run(lambda: self._located(str(name)), f"'{shortened(name)}' at '{where}'")
            if found is None:
                raise BundleError(
                    BundleProblem.NO_SUCH_COMPONENT, name=shortened(name), where=where
                ) from error
            return found, False

    def _located(self, name: str) -> Any:
        import pydoc

        from monai.bundle import ComponentLocator

        if "." not in name:
            module = ComponentLocator().get_component_module_name(name)
            if module is not None:
                name = f"{module[0] if isinstance(module, list) else module}.{name}"
        if not self.code.owns(name):
            return pydoc.locate(name)
        parts = name.split(".")
        found = self._import_parts(self.code.module(parts[0]), parts)
        return functools.reduce(getattr, parts[1:], found)

    def _check_cost(self, component: Any, arguments: dict[str, Any], name: str, where: str) -> None:
        """None: a trusted bundle may be as large as it likes."""

    def _evaluated(self, text: str, where: str) -> Any:
        what = f"expression at '{where}'"
        statement = _import_statement(text)
        if statement is not None:
            try:
                return self._bound(statement)
            except ImportError:
                # As in MONAI: only where the module is used is it missed.
                return None
        from monai.bundle import ReferenceResolver

        text = ReferenceResolver.normalize_id(f"${text}")
        names = [name for name in ReferenceResolver.match_refs_pattern(text) if name]
        referred = {name: self.build(name) for name in names}

        def run() -> Any:
            code = str(ReferenceResolver.update_refs_pattern(text, referred | {"": None}))[1:]
            self._make_known(ast.parse(code.strip(), mode="eval"))
            return eval(code.strip(), {**self._globals, _REFERRED: referred})

        return self._run(run, what)

    def _make_known(self, expression: ast.Expression) -> None:
        """Import what an expression names: only then, and only that."""
        if self._imports is None:
            self._imports = dict(_import_statements(self.config))
        self._globals.setdefault("__builtins__", self.code.builtins)
        for node in ast.walk(expression):
            name = node.id if isinstance(node, ast.Name) else ""
            if not name or name in self._globals:
                continue
            if name in self._imports:
                self._bound(self._imports[name])
            elif name in _KNOWN:
                self._globals[name] = importlib.import_module(_KNOWN[name])
            elif not hasattr(builtins, name) and self.code.owns(name):
                self._globals[name] = self.code.module(name)
        for chain in _chains_in(expression):
            top = self._globals.get(chain[0])
            if isinstance(top, ModuleType) and self.code.owns(chain[0]):
                self._import_parts(top, chain)

    def _import_parts(self, top: ModuleType, chain: list[str]) -> ModuleType:
        """Import the modules of ``scripts.net.Net``, as far as they are modules; the first one."""
        found: Any = top
        for length, part in enumerate(chain[1:], start=2):
            name = ".".join(chain[:length])
            if not hasattr(found, part):
                try:
                    self.code.module(name)
                except ModuleNotFoundError as error:
                    if error.name != name:
                        raise
                    break
            found = getattr(found, part)
        return top

    def _run(self, run: Callable[[], Any], what: str) -> Any:
        try:
            return run()
        except BundleError:
            raise
        except ModuleNotFoundError as error:
            raise BundleError(
                BundleProblem.NEEDS_PACKAGE, what=what, package=shortened(error.name)
            ) from error
        # A script that ends Python is no reason to close the viewer.
        except (Exception, SystemExit) as error:
            why = reason(error).replace(f"{self.code.root}.", "")
            raise BundleError(BundleProblem.TRUSTED_CODE_FAILS, what=what, reason=why) from error

    def _bound(self, statement: ast.Import | ast.ImportFrom) -> Any:
        """Run an import statement; its names are known to all expressions from then on."""
        self._globals.setdefault("__builtins__", self.code.builtins)
        names = [alias.asname or alias.name for alias in statement.names]
        module = ast.Module([statement], [])
        exec(compile(module, "<import>", "exec"), self._globals)
        return self._globals.get(names[0].partition(".")[0])

    def _included(self, text: str, where: str) -> Any:
        """What ``%file::entry`` or ``%entry`` stands for."""
        from monai.bundle import ConfigParser

        path, key = ConfigParser.split_path_id(text)
        if not path:
            return self._resolve(self._lookup(key), where)
        file = Path(os.path.realpath(self.code.folder / path))
        if not file.is_file():
            raise BundleError(
                BundleProblem.NO_INCLUDED_FILE, file=shortened(Path(path).name), where=where
            )
        self.code.text(file)
        content = read_settings(file)
        other = ComponentBuilder(content)
        return self._resolve(other._lookup(key) if key else content, where)


def _without_download(component: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Pretrained weights would be replaced by the bundle's own."""
    import inspect

    try:
        known = inspect.signature(component).parameters
    except (TypeError, ValueError):
        return arguments
    on = {k for k, p in known.items() if k.startswith("pretrained") and p.default is True}
    on |= {k for k, v in arguments.items() if k.startswith("pretrained") and v is True}
    return arguments | dict.fromkeys(on, False)


def _import_statement(text: str) -> ast.Import | ast.ImportFrom | None:
    if "import" not in text:
        return None
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    first = statements[0] if statements else None
    return first if isinstance(first, ast.Import | ast.ImportFrom) else None


def _import_statements(config: Any) -> Iterator[tuple[str, ast.Import | ast.ImportFrom]]:
    """All of a configuration, wherever they stand, by the names that they make known."""
    for node in nodes_in(config):
        if isinstance(node, str) and node.startswith("$"):
            statement = _import_statement(node[1:].strip())
            if statement is not None:
                for alias in statement.names:
                    yield (alias.asname or alias.name).partition(".")[0], statement


def _chains_in(expression: ast.Expression) -> Iterator[list[str]]:
    """The dotted names of an expression, in parts."""
    node: ast.AST
    for node in ast.walk(expression):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and parts:
            yield [node.id, *reversed(parts)]
