"""The text of a bundle's settings, read as plain data whose size is known before it is made.

A few hundred bytes of YAML can stand for 10⁹ entries, by anchors that repeat anchors. So the
entries are counted, with every repetition, while the text is read, before any of them is made.
Of a setting that is given twice parsers keep the last one without a word; MONAI warns of it
(https://github.com/Project-MONAI/MONAI/issues/5471), but which of two spacings a network was
trained with is nothing to be guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_ifa.errors import BundleError
from napari_ifa.models.problems import BundleProblem

#: Bundles of MONAI's Model Zoo have up to 50 kB, some 2000 entries and 12 levels.
_MOST_BYTES = 2**20
_MOST_ENTRIES = 50_000
_MOST_LEVELS = 100
#: Characters of a YAML value without quotes, which may become a number: that takes time by the
#: square of its length.
_MOST_CHARACTERS = 20_000
#: Tag of the key of a YAML mapping that other mappings are merged into.
_MERGE = "tag:yaml.org,2002:merge"
_OF_TYPES = (TypeError, LookupError, AttributeError, OverflowError)


def read_settings(path: Path) -> dict[str, Any]:
    """The table of settings in a JSON or YAML file.

    BundleError where the file is not such a table, is too large, nests too deeply, contains itself
    or gives a setting twice.
    """
    import yaml

    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise BundleError(
                BundleProblem.SETTINGS_TOO_LARGE,
                file=path.name,
                megabytes=size / 1e6,
                most=_MOST_BYTES / 1e6,
            )
        text = path.read_text(encoding="utf-8-sig")
        content, repeated = _from_json(text) if kind == "JSON" else _from_yaml(text, path.name)
    # Beside the parsers' own errors: PyYAML lets those of Python's types through, for a date that
    # does not exist or a key that is a list.
    except (yaml.YAMLError, RecursionError, OSError, ValueError, *_OF_TYPES) as error:
        raise BundleError(BundleProblem.UNREADABLE, file=path.name, format=kind) from error
    if repeated:
        raise BundleError(BundleProblem.SETTING_TWICE, file=path.name, entry=repeated[0])
    if not isinstance(content, dict):
        raise BundleError(BundleProblem.NO_TABLE, file=path.name)
    _check_levels(content, path.name)
    return content


def data_format(metadata: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A part of the metadata's ``network_data_format``; empty where there is none."""
    node: Any = metadata
    for key in ("network_data_format", *names):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def entry(config: Any, key: str) -> Any:
    """What lies under ``"a::b"`` or ``"a#0"`` in the settings; LookupError where nothing does."""
    for part in key.replace("#", "::").split("::"):
        try:
            config = config[int(part)] if isinstance(config, list) else config[part]
        except (LookupError, ValueError, TypeError):
            raise LookupError(part) from None
    return config


def nodes_in(content: Any) -> Iterator[Any]:
    """All that tables and lists hold at any depth, themselves included.

    What stands in several places through references comes once for each.
    """
    waiting = [content]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Mapping):
            waiting.extend(node.values())
        elif isinstance(node, list | tuple):
            waiting.extend(node)


def canonical(definition: Any) -> str:
    """A text that is equal for equal definitions, whatever their key order."""
    written = partial(json.dumps, sort_keys=True, separators=(",", ":"), default=str)
    try:
        return written(definition)
    except TypeError:  # keys of several types, which have no order
        return written(_with_text_keys(definition))


def _with_text_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _with_text_keys(value) for key, value in node.items()}
    return [_with_text_keys(item) for item in node] if isinstance(node, list) else node


def _from_json(text: str) -> tuple[Any, list[str]]:
    """What the text holds, and the settings that it gives twice in one table."""
    repeated: list[str] = []

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)
        return dict(pairs)

    return json.loads(text, object_pairs_hook=table), repeated


def _from_yaml(text: str, name: str) -> tuple[Any, list[str]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _count_entries(yaml.parse(text, Loader=loader), name)
    content = yaml.load(text, Loader=loader)
    repeated: list[str] = []
    # Nodes of an alias are those of its anchor: nothing is expanded.
    todo, seen = [yaml.compose(text, Loader=loader)], set()
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            todo += [value for _, value in node.value]
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            counts = Counter((key.tag, str(key.value)) for key in keys if key.tag != _MERGE)
            repeated.extend(key for (_, key), count in counts.items() if count > 1)
    return content, repeated


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
            raise BundleError(BundleProblem.TOO_MANY_ENTRIES, file=name, most=_MOST_ENTRIES)
        if len(within) > _MOST_LEVELS:
            raise BundleError(BundleProblem.TOO_DEEP, file=name, most=_MOST_LEVELS)


def _check_levels(content: Any, name: str) -> None:
    """Refuse what nests too deeply to be followed; entries of JSON are as many as its text."""
    level, seen = [content], 0
    for _ in range(_MOST_LEVELS):
        inner = [n.values() if isinstance(n, dict) else n for n in level]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        seen += sum(len(items) for items in inner)
        if seen > _MOST_ENTRIES:
            raise BundleError(BundleProblem.TOO_MANY_ENTRIES, file=name, most=_MOST_ENTRIES)
        if not level:
            return
    raise BundleError(BundleProblem.TOO_DEEP, file=name, most=_MOST_LEVELS)
