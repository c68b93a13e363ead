"""Settings that are given twice: parsers of JSON and YAML keep the last one without a word.

MONAI warns of them (https://github.com/Project-MONAI/MONAI/issues/5471); which of two spacings a
network was trained with is nothing to be guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from napari_ifa.errors import BundleError
from napari_ifa.models.problems import BundleProblem

#: Keys of a YAML mapping that other mappings are merged into.
_MERGE = "tag:yaml.org,2002:merge"


def check_keys(text: str, name: str) -> None:
    """Refuse a text of settings that gives one of them twice; ``name`` is that of its file.

    Raises
    ------
    BundleError
        Where it does; the setting is named. An error of the parser where the text is none.
    """
    repeated = _in_json(text) if name.endswith(".json") else _in_yaml(text)
    if repeated is not None:
        raise BundleError(BundleProblem.SETTING_TWICE, file=name, entry=repeated)


def _in_json(text: str) -> str | None:
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)

    json.loads(text, object_pairs_hook=note)
    return repeated[0] if repeated else None


def _in_yaml(text: str) -> str | None:
    import yaml

    # Nodes of an alias are those of its anchor: nothing is expanded.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    todo, seen = [yaml.compose(text, Loader=loader)], set()
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: set[tuple[str, str]] = set()
            for key, value in node.value:
                todo.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                    continue
                if (key.tag, key.value) in keys:
                    return str(key.value)
                keys.add((key.tag, key.value))
    return None
