"""What a bundle's configuration may build: networks and transforms of known libraries, no code.

A name is judged by the object it resolves to, never by its text: the text
``monai.….torch.hub.os.system`` begins with "monai." too.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from napari_ifa.errors import BundleError, UntrustedModelError
from napari_ifa.models.cost import check_arguments, check_transform
from napari_ifa.models.problems import BundleProblem
from napari_ifa.models.settings_file import entry, nodes_in
from napari_ifa.plain import MOST_TEXT, reason, shortened

#: Where a short name such as ``"DenseNet121"`` or ``"Spacingd"`` is looked up.
_SHORT_NAME_MODULES = (
    "monai.transforms",
    "monai.networks.nets",
    "monai.networks.blocks",
    "monai.networks.layers",
)
_NETWORK_MODULES = (
    "monai.networks.nets",
    "monai.networks.blocks",
    "monai.networks.layers",
    "torch.nn.modules",
    "torchvision.models",
)
#: Where a function, rather than a class, may be what makes a network (``resnet18``).
_FUNCTION_MODULES = ("monai.networks.nets", "torchvision.models")
#: Transforms of images in memory; those that read, write or post-process stand elsewhere.
_TRANSFORM_MODULES = tuple(
    f"monai.transforms.{part}"
    for part in ("compose", "croppad", "intensity", "signal", "smooth_field", "spatial", "utility")
)
#: What a name may begin with; what it resolves to is judged by where that is defined.
_ROOTS = ("monai.transforms", "monai.networks", "torch.nn", "torchvision.models")
#: Transforms that evaluate strings or callables, or reach other libraries by name.
_REFUSED_TRANSFORMS = (
    "Lambda",
    "DataStats",
    "SimulateDelay",
    "TorchVision",
    "TorchIO",
    "CuCIM",
)
#: An argument of this name leads to a file or a network address.
_LEADS_OUT = re.compile(r"^path|(^|_)(file|filename|url|repo|dir|hub)(_|$)")
#: Arguments that make a network fetch or read weights from elsewhere; a bundle brings its own.
_FOREIGN_WEIGHTS = ("weights", "weights_backbone", "checkpoint")
_KEYWORDS = {"_target_", "_disabled_", "_requires_", "_desc_", "_mode_"}
#: Transforms of a chain, those of chains in it counted each time they stand there.
_MOST_STEPS = 1000
_REFERENCE = re.compile(r"[@%](\w+)")
_RELATIVE = re.compile(r"[@%](?:#|::)")


@dataclass
class ComponentBuilder:
    """Builds what a bundle's configuration describes, following ``@references`` and nothing else.

    ``replacements`` are objects that stand in for configured ones, by what a class is named.
    """

    config: Mapping[str, Any]
    replacements: Mapping[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    _built: dict[str, Any] = field(default_factory=dict)
    #: Of each chain that was built, by its id: how many transforms it runs, and the chain itself.
    _steps: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def build(self, key: str) -> Any:
        """The object under ``key`` (``"preprocessing"``, ``"a::b"`` or ``"a#b"``).

        UntrustedModelError for an expression, a macro to another file or a component off the
        allow-list; BundleError for a reference that leads nowhere or in a circle, or arguments that
        do not fit.
        """
        key = key.replace("#", "::")
        if key in self._built:
            if self._built[key] is _UNDER_WAY:
                raise BundleError(BundleProblem.ENTRIES_IN_A_CIRCLE, entry=key)
            return self._built[key]
        self._built[key] = _UNDER_WAY
        self._built[key] = self._resolve(self._lookup(key), key)
        return self._built[key]

    def _lookup(self, key: str) -> Any:
        try:
            return entry(self.config, key)
        except LookupError:
            raise BundleError(BundleProblem.NO_ENTRY, entry=shortened(key)) from None

    def _resolve(self, node: Any, where: str) -> Any:
        if isinstance(node, str):
            return self._resolve_text(_absolute(node, where), where)
        if isinstance(node, list):
            items = [(f"{where}::{i}", item) for i, item in enumerate(node)]
            return [self._resolve(v, at) for at, v in items if not self._is_disabled(v, at)]
        if isinstance(node, Mapping):
            if "_target_" not in node:
                return self._entries(node, where)
            return None if self._is_disabled(node, where) else self._instantiate(node, where)
        return node

    def _is_disabled(self, node: Any, where: str) -> bool:
        """As MONAI has it: such a component is left out."""
        if not isinstance(node, Mapping) or "_target_" not in node:
            return False
        flag = self._resolve(node.get("_disabled_", False), f"{where}::_disabled_")
        return flag.strip().lower() == "true" if isinstance(flag, str) else bool(flag)

    def _resolve_text(self, text: str, where: str) -> Any:
        if text.startswith("$"):
            raise UntrustedModelError(BundleProblem.EXPRESSION, where=where)
        if text.startswith("%"):
            raise UntrustedModelError(BundleProblem.INCLUDED, where=where)
        return self.build(text[1:]) if text.startswith("@") else text

    def _instantiate(self, node: Mapping[str, Any], where: str) -> Any:
        name = node["_target_"]
        if node.get("_mode_", "default") != "default" or node.get("_requires_"):
            raise UntrustedModelError(BundleProblem.SPECIAL_MODE, name=shortened(name), where=where)
        arguments = self._arguments(node, where)
        return self._made(self._found(name, where), arguments, name, where)

    def _found(self, name: Any, where: str) -> Any:
        """A network or a harmless transform, by its own definition, or what is replaced."""
        refusal = UntrustedModelError(
            BundleProblem.UNKNOWN_COMPONENT, name=shortened(name), where=where
        )
        component = _named(name, refusal)
        if self._replacement(component) or _is_network(component) or _is_transform(component):
            return component
        raise refusal

    def _arguments(self, node: Mapping[str, Any], where: str) -> dict[str, Any]:
        return self._entries({k: v for k, v in node.items() if k not in _KEYWORDS}, where)

    def _entries(self, node: Mapping[str, Any], where: str) -> dict[str, Any]:
        places = [(k, v, f"{where}::{k}") for k, v in node.items()]
        return {k: self._resolve(v, at) for k, v, at in places if not self._is_disabled(v, at)}

    def _made(self, component: Any, arguments: dict[str, Any], name: str, where: str) -> Any:
        """A network or transform that is allowed, or what stands in for it."""
        replacement = self._replacement(component)
        if replacement is not None:
            return replacement(arguments)
        self._check_cost(component, arguments, name, where)
        try:
            if _is_network(component):
                arguments = _without_foreign_weights(component, arguments)
            made = component(**arguments)
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(
                BundleProblem.CANNOT_BE_BUILT, name=name, where=where, reason=reason(error)
            ) from error
        self._count_steps(made, arguments, where)
        return made

    def _replacement(self, component: Any) -> Callable[[dict[str, Any]], object] | None:
        if not _defined_in(component, ("monai.transforms",)):
            return None
        return self.replacements.get(plain_name(component))

    def _check_cost(self, component: Any, arguments: dict[str, Any], name: str, where: str) -> None:
        check = check_arguments if _is_network(component) else check_transform
        check(arguments, name, where)

    def _count_steps(self, made: Any, arguments: Mapping[str, Any], where: str) -> None:
        """Refuse a chain in which chains stand again and again, as far as references go."""
        steps = arguments.get("transforms")
        if not isinstance(steps, list):
            return
        count = sum(self._steps.get(id(step), (1, None))[0] for step in steps)
        if count > _MOST_STEPS:
            raise BundleError(BundleProblem.TOO_MANY_STEPS, where=where, most=_MOST_STEPS)
        self._steps[id(made)] = count, made


def _absolute(text: str, where: str) -> str:
    """A text whose references from the place it stands at (``@::a``) are made from the root."""
    if text[:1] not in ("@", "$", "%") or not _RELATIVE.search(text):
        return text
    from monai.bundle import ConfigParser

    try:
        return ConfigParser.resolve_relative_ids(where, text)
    except ValueError as error:
        raise BundleError(BundleProblem.LEADS_OUT, entry=shortened(text), where=where) from error


def referred_entries(config: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Other entries of the configuration that those under ``keys`` refer to, near or far."""
    found: dict[str, Any] = {}
    waiting = [config.get(key) for key in keys]
    while waiting:
        for node in nodes_in(waiting.pop()):
            if not isinstance(node, str) or node[:1] not in ("@", "$", "%"):
                continue
            for name in _REFERENCE.findall(node):
                if name in config and name not in keys and name not in found:
                    found[name] = config[name]
                    waiting.append(config[name])
    return found


def _named(name: Any, refusal: UntrustedModelError) -> Any:
    """The object that a ``_target_`` names, importing only modules of the allowed libraries."""
    if not isinstance(name, str) or len(name) > MOST_TEXT:
        raise refusal
    if "." not in name:
        for module_name in _SHORT_NAME_MODULES:
            found = getattr(importlib.import_module(module_name), name, None)
            if found is not None and not inspect.ismodule(found):
                return found
        raise refusal
    root = next((root for root in _ROOTS if name.startswith(f"{root}.")), None)
    if root is None:
        raise refusal
    library = root.partition(".")[0]
    if importlib.util.find_spec(library) is None:
        raise BundleError(BundleProblem.NEEDS_PACKAGE, what=f"'{name}'", package=library)
    return _walk(name, refusal)


def _walk(dotted: str, refusal: UntrustedModelError) -> Any:
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        except Exception as error:
            library = dotted.partition(".")[0]
            raise BundleError(
                BundleProblem.PACKAGE_FAILS, name=dotted, package=library, reason=reason(error)
            ) from error
        for part in parts[length:]:
            # Only what a module or class itself defines; private names are nobody's interface.
            if part.startswith("_") or not hasattr(found, part):
                raise refusal
            found = getattr(found, part)
        return found
    raise refusal


def _is_network(component: Any) -> bool:
    if not _defined_in(component, _NETWORK_MODULES) or _leads_out(component):
        return False
    if inspect.isclass(component):
        return issubclass(component, nn.Module)
    if not inspect.isfunction(component) or "." in component.__qualname__:
        return False
    # get_model and its like build whatever network they are told to.
    if not _defined_in(component, _FUNCTION_MODULES) or component.__name__.startswith("get_"):
        return False
    try:
        returned = typing.get_type_hints(component).get("return")
    except (NameError, TypeError):
        return False
    return inspect.isclass(returned) and issubclass(returned, nn.Module)


def _is_transform(component: Any) -> bool:
    from monai.transforms import Transform

    if not inspect.isclass(component) or not _defined_in(component, _TRANSFORM_MODULES):
        return False
    is_one = issubclass(component, Transform) or component.__name__ in ("Compose", "OneOf")
    return is_one and plain_name(component) not in _REFUSED_TRANSFORMS


def _leads_out(component: Any) -> bool:
    try:
        names = list(inspect.signature(component).parameters)
    except (TypeError, ValueError):
        return True
    return any(_LEADS_OUT.search(name) and not _is_foreign(name) for name in names)


def _defined_in(component: Any, roots: tuple[str, ...]) -> bool:
    module = getattr(component, "__module__", None) or ""
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def plain_name(component: Any) -> str:
    """The name of a class without "Rand" before or the dictionary suffix behind."""
    return getattr(component, "__name__", "").removeprefix("Rand").removesuffix("d")


def _without_foreign_weights(component: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in arguments.items() if not _is_foreign(k)}
    for name, parameter in inspect.signature(component).parameters.items():
        if _is_foreign(name):
            kept[name] = False if isinstance(parameter.default, bool) else None
    return kept


def _is_foreign(name: str) -> bool:
    return name.startswith("pretrained") or name in _FOREIGN_WEIGHTS


_UNDER_WAY = object()
