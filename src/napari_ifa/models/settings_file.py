"""The text of a bundle's settings, read as plain data whose size is known before it is made.

A few hundred bytes of YAML can stand for 10⁹ entries, by anchors that repeat anchors. So the
entries are counted, with every repetition, while the text is read, before any of them is made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_ifa.errors import BundleError
from napari_ifa.models.problems import BundleProblem
from napari_ifa.models.repeated_keys import check_keys

#: Bundles of MONAI's Model Zoo have up to 50 kB, some 2000 entries and 12 levels.
_MOST_BYTES = 2**20
_MOST_ENTRIES = 50_000
_MOST_LEVELS = 100
#: Characters of a YAML value without quotes, which may become a number: that takes time by the
#: square of its length.
_MOST_CHARACTERS = 20_000
_OF_TYPES = (TypeError, LookupError, AttributeError, OverflowError)


def read_settings(path: Path) -> dict[str, Any]:
    """The table of settings in a JSON or YAML file.

    Raises
    ------
    BundleError
        Where the file is not such a table, is too large, nests too deeply, contains itself or gives
        a setting twice.
    """
    import yaml

    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise BundleError(
                BundleProblem.SETTINGS_TOO_LARGE,
                file=path.name,
                size=size,
                megabytes=size / 1e6,
                most=_MOST_BYTES / 1e6,
            )
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if kind == "JSON" else _from_yaml(text, path.name)
        check_keys(text, path.name)
    # Beside the parsers' own errors: PyYAML lets those of Python's types through, for a date that
    # does not exist or a key that is a list.
    except (yaml.YAMLError, RecursionError, OSError, ValueError, *_OF_TYPES) as error:
        raise BundleError(BundleProblem.UNREADABLE, file=path.name, format=kind) from error
    if not isinstance(content, dict):
        raise BundleError(BundleProblem.NO_TABLE, file=path.name)
    _check_levels(content, path.name)
    return content


def canonical(definition: Any) -> str:
    """A text that is equal for equal definitions, whatever their key order."""
    try:
        return json.dumps(definition, sort_keys=True, separators=(",", ":"), default=str)
    except TypeError:  # keys of several types, which have no order
        return json.dumps(
            _with_text_keys(definition), sort_keys=True, separators=(",", ":"), default=str
        )


def _with_text_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _with_text_keys(value) for key, value in node.items()}
    return [_with_text_keys(item) for item in node] if isinstance(node, list) else node


def _from_yaml(text: str, name: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _count_entries(yaml.parse(text, Loader=loader), name)
    return yaml.load(text, Loader=loader)


def _count_entries(events: Any, name: str) -> None:
    """Refuse a stream of YAML events that stands for too much, before it is made."""
    import yaml

    sizes: dict[str, int] = {}
    # Of each collection that is open: its anchor, and how many entries there were before it.
    within: list[tuple[str | None, int]] = []
    entries = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = entries - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in within):
                raise BundleError(BundleProblem.CONTAINS_ITSELF, file=name, anchor=event.anchor)
            entries += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, entries))
            entries += 1
        elif isinstance(event, yaml.ScalarEvent):
            entries += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if event.implicit[0] and len(event.value) > _MOST_CHARACTERS:
                raise BundleError(BundleProblem.VALUE_TOO_LONG, file=name, length=len(event.value))
        if entries > _MOST_ENTRIES:
            raise _too_many(name)
        if len(within) > _MOST_LEVELS:
            raise _too_deep(name)


def _check_levels(content: Any, name: str) -> None:
    """Refuse what nests too deeply to be followed; entries of JSON are as many as its text."""
    level, seen = [content], 0
    for _ in range(_MOST_LEVELS):
        inner = [n.values() if isinstance(n, dict) else n for n in level]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        seen += sum(len(items) for items in inner)
        if seen > _MOST_ENTRIES:
            raise _too_many(name)
        if not level:
            return
    raise _too_deep(name)


def _too_many(name: str) -> BundleError:
    return BundleError(BundleProblem.TOO_MANY_ENTRIES, file=name, most=_MOST_ENTRIES)


def _too_deep(name: str) -> BundleError:
    return BundleError(BundleProblem.TOO_DEEP, file=name, most=_MOST_LEVELS)
