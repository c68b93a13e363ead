"""The Python files that a trusted bundle brings along: each bundle's are its own.

Two bundles may both have a ``scripts/net.py``, and one bundle may change while a viewer is open.
So nothing is put on Python's path. A bundle's modules have names of their own, and their import
statements, wherever in the code and whenever they run, look into the bundle's folder first.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder, SourceFileLoader
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_NUMBERS = count(1)


class OwnCode:
    """The modules of one bundle, as its files were when they were first read.

    Their own names begin with ``root``, before the first dot. ``builtins`` are Python's, whose
    import statement looks into the folder first; for code that is to run as the bundle's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}
        self.root = f"napari_ifa_bundle_{next(_NUMBERS)}"
        self._texts: dict[Path, bytes] = {}
        self._lock = threading.RLock()
        importlib.invalidate_caches()
        root = ModuleType(self.root)
        root.__path__ = [str(self.folder)]
        # Under their own names: dataclasses and typing look modules up there.
        sys.modules[self.root] = root

    def owns(self, name: str) -> bool:
        """Whether a module of this name, such as ``scripts.net``, lies in the folder.

        A folder without ``__init__.py`` gives way to a package that is installed, as in Python.
        """
        top = name.partition(".")[0]
        spec = PathFinder.find_spec(top, [str(self.folder)])
        if spec is None:
            return False
        if spec.origin is not None:
            return True
        if top in sys.modules or importlib.util.find_spec(top) is not None:
            return False
        return any((self.folder / top).rglob("*.py"))

    def module(self, name: str) -> ModuleType:
        """The module ``scripts.net`` of the bundle, which is run where it was not yet.

        Raises ModuleNotFoundError if there is none, and whatever its code raises.
        """
        full = f"{self.root}.{name}"
        with self._lock:
            if full in sys.modules:
                return sys.modules[full]
            above, _, last = name.rpartition(".")
            parent = self.module(above) if above else sys.modules[self.root]
            if full in sys.modules:  # the package imports it
                return sys.modules[full]
            spec = PathFinder.find_spec(full, getattr(parent, "__path__", []))
            if spec is None:
                raise ModuleNotFoundError(f"No module named '{name}' in the bundle", name=name)
            if isinstance(spec.loader, SourceFileLoader):
                spec.loader = _Remembered(self, full, spec.loader.path)
            elif spec.origin is not None:
                self.text(Path(spec.origin))
            module = importlib.util.module_from_spec(spec)
            vars(module)["__builtins__"] = self.builtins
            sys.modules[full] = module
            try:
                if spec.loader is not None:
                    spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(full, None)
                raise
            setattr(parent, last, sys.modules[full])
            return sys.modules[full]

    def text(self, file: Path) -> bytes:
        """A file's content as it was at first: what runs later is what was told apart by hash."""
        if file not in self._texts:
            self._texts[file] = file.read_bytes()
        return self._texts[file]

    def sha256(self) -> str:
        """Over names and contents of the files that ran or may still run; empty for none.

        Those are the files that were imported, and what import statements in them lead to, also
        inside functions that were not called yet.
        """
        waiting, found = list(self._texts), set[Path]()
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting.extend(self._imported_by(file))
        if not found:
            return ""
        digest = hashlib.sha256()
        for name, file in sorted((self._relative(file), file) for file in found):
            content = hashlib.sha256(self.text(file)).hexdigest()
            digest.update(f"{name}\n{content}\n".encode())
        return digest.hexdigest()

    def _relative(self, file: Path) -> str:
        inside = file.is_relative_to(self.folder)
        return file.relative_to(self.folder).as_posix() if inside else file.name

    def _imported_by(self, file: Path) -> Iterator[Path]:
        if file.suffix != ".py":
            return
        try:
            tree = ast.parse(self.text(file))
        except (SyntaxError, ValueError):
            return
        parts = list(file.relative_to(self.folder).parent.parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._files_of(alias.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                above = parts[: len(parts) - node.level + 1] if node.level else []
                base = above + (node.module.split(".") if node.module else [])
                yield from self._files_of(base)
                for alias in node.names:
                    yield from self._files_of([*base, alias.name])

    def _files_of(self, parts: Sequence[str]) -> Iterator[Path]:
        """The files that run when this module is imported: its packages', and its own."""
        for length in range(1, len(parts) + 1):
            place = self.folder.joinpath(*parts[:length])
            for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
                if file.is_file():
                    yield file

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """``__import__`` as the bundle's code sees it."""
        if level:
            package = str((globals or {}).get("__package__") or self.root)
            full = importlib.util.resolve_name("." * level + name, package)
            if full != self.root and not full.startswith(f"{self.root}."):
                raise ImportError("attempted relative import beyond the bundle's folder")
            name = full[len(self.root) + 1 :]
        elif not self.owns(name):
            found = __import__(name, globals, locals, fromlist or (), 0)
            return self._importlib() if found is importlib else found
        module = self.module(name) if name else sys.modules[self.root]
        if not fromlist:
            return self.module(name.partition(".")[0])
        names = getattr(module, "__all__", ()) if "*" in fromlist else fromlist
        for part in names:
            if not hasattr(module, part):
                try:
                    self.module(f"{name}.{part}".lstrip("."))
                except ModuleNotFoundError as error:
                    if error.name != f"{name}.{part}".lstrip("."):
                        raise
        return module

    def _importlib(self) -> ModuleType:
        """importlib whose `import_module` looks into the folder first, too."""
        own = ModuleType("importlib")
        vars(own).update(vars(importlib))

        def import_module(name: str, package: str | None = None) -> ModuleType:
            full = importlib.util.resolve_name(name, package) if name.startswith(".") else name
            inside = full.removeprefix(f"{self.root}.")
            if inside != full or self.owns(full):
                return self.module(inside)
            return importlib.import_module(full)

        vars(own)["import_module"] = import_module
        return own


class _Remembered(SourceFileLoader):
    """Runs the text that was read at first, past Python's store of compiled files.

    That store goes by the second in which a file was changed.
    """

    def __init__(self, code: OwnCode, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_data(self, path: str) -> bytes:
        return self._code.text(Path(path))

    def get_code(self, fullname: str) -> CodeType:
        compiled: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return compiled
