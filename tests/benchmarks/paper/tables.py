"""Tables I to IV, beside what is to hand of the paper's figures, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.benchmarks.paper.measured import SAME, mean_and_lowest
from tests.benchmarks.paper.published import CONSISTENCY, NOT_TO_HAND, PAPER_SETS, PRINCIPAL

Entry = Mapping[str, Any]
NONE = "–"
REACH = 0.99


def all_tables(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Title and Markdown table of each; ``entries`` are the networks, in order."""
    return [
        ("Data and networks", networks(entries)),
        ("Table I: consistency of maps and logits", consistency(entries)),
        ("Table II: accuracy with some of the features", masked_accuracy(entries)),
        ("Table III: average increase and average drop", average_drop(entries)),
        ("Table IV: principal features", principal_features(entries)),
        ("What was to be reached", reached(entries)),
    ]


def networks(entries: Sequence[Entry]) -> str:
    """Which data stand beside which of the paper's, with what network, and how right it is."""
    head = ("the paper's data", "here", "data", "network", "features", "training cases")
    head += ("test cases", "test accuracy", "the paper's network")
    rows = []
    for key, known in PAPER_SETS.items():
        own = [e for e in entries if e["paper_set"] == key and e["recommended_layer"]]
        rows += [_network(entry, known.title, known.network) for entry in own]
        if not own:
            rows.append((known.title, "not available here", *[NONE] * 6, known.network))
    return markdown(head, rows)


def _network(entry: Entry, title: str, network: str) -> tuple[str, ...]:
    first = entry["results"][0]
    return (
        title,
        entry["relation"],
        entry["source"],
        entry["architecture"],
        str(first["features"]),
        str(entry["cases_training"]),
        str(first["cases_test"]),
        _percent(first["rankings"]["value"]["accuracy"][0]["accuracy"]),
        network,
    )


def consistency(entries: Sequence[Entry]) -> str:
    """Correlation of a map's sum with the logit: mean over the classes, and the lowest."""
    head = ("data", "", "network", "method", "usual CAM", "class activation, common scale")
    head += ("S-CAM", "the paper")

    def cells(entry: Entry, result: Entry) -> tuple[str, ...]:
        found = result["consistency"]
        kinds = ("usual CAM", "class activation", "S-CAM")
        return tuple(_coefficient(found[kind]["classes"]) for kind in kinds)

    # The abstract speaks of the paper's own method alone.
    return _by_method(head, entries, cells, {"pixelwise": CONSISTENCY})


def masked_accuracy(entries: Sequence[Entry]) -> str:
    """Accuracy with all features, with the principal ones alone, with the others alone."""
    head = ("data", "", "network", "ranked by", "kept of a class", "kept in all", "all features")
    head += ("principal only", "others only", "fall", "p (McNemar)", "a quarter of the features")
    head += ("the paper",)
    rows = []
    for entry in entries:
        for result in entry["results"]:
            for by, found in result["rankings"].items() if result.get("findings") else ():
                every, principal, others = found["accuracy"]
                quarter = min(found["curve"], key=lambda point: abs(point["share"] - 0.25))
                cells = (
                    *_names(entry),
                    by,
                    f"{100 * result['top']:.0f} %",
                    f"{principal['kept']} of {result['features']}",
                    *(_percent(one["accuracy"]) for one in (every, principal, others)),
                    f"{100 * _fall(found):.1f} points",
                    _p(principal["p"]),
                    _percent(quarter["accuracy"]),
                    PRINCIPAL,
                )
                rows.append(cells)
    return markdown(head, [*rows, *_absent(entries, len(head))])


def average_drop(entries: Sequence[Entry]) -> str:
    """Masking the input with the usual CAM of the predicted class."""
    head = ("data", "", "network", "method", "average increase", "average drop", "the paper")

    def cells(entry: Entry, result: Entry) -> tuple[str, ...]:
        return _percent(result["average_increase"]), _percent(result["average_drop"])

    return _by_method(head, entries, cells, {})


def principal_features(entries: Sequence[Entry]) -> str:
    """How much the principal features carry, and whether they are the same on unseen cases."""
    head = ("data", "", "network", "kept of a class", "their share of what speaks for it")
    head += ("their sum with the logit", "same accuracy from", "features that differ, train – test")
    head += ("importance, train with test", "evidence in the lesion", "the paper")
    rows = []
    for entry in entries:
        for result in entry["results"]:
            found = result.get("findings")
            if not found:
                continue
            same = [ranked["same_from"] for ranked in result["rankings"].values()]
            cells = (
                *_names(entry),
                f"{100 * result['top']:.0f} %",
                _range(found["principal_share"]),
                _coefficient(result["principal_consistency"]["classes"]),
                " / ".join(f"{100 * share:.0f} %" if share is not None else NONE for share in same),
                f"{found['overfitting_features']} of {result['features']}",
                _range(found["importance_correlation"]),
                _located(result["localisation"]),
                PRINCIPAL,
            )
            rows.append(cells)
    return markdown(head, [*rows, *_absent(entries, len(head))])


def reached(entries: Sequence[Entry]) -> str:
    """What the figures should reach, and whether they do."""
    own = [entry for entry in entries if entry["recommended_layer"]]
    lowest = {
        entry["network"]: _lowest(result)
        for entry in own
        for result in entry["results"]
        if entry["relu"] and result["method"] == "pixelwise"
    }
    worst: dict[str, list[float]] = {}
    p_values = []
    for entry in own:
        for result in entry["results"]:
            if not result.get("findings"):
                continue
            ranked = list(result["rankings"].values())
            before = worst.get(entry["data"], [-1.0] * len(ranked))
            worst[entry["data"]] = [max(a, _fall(b)) for a, b in zip(before, ranked, strict=True)]
            p_values += [found["accuracy"][1]["p"] for found in ranked]
    known = [p for p in p_values if p == p]
    texts = [
        f"{name} {' / '.join(f'{100 * f:.1f}' for f in falls)}" for name, falls in worst.items()
    ]
    rows = [
        (
            "pixelwise, class activation on a common scale: every class of every ReLU network, at"
            f" its recommended layer, {REACH} or above",
            ", ".join(f"{name} {value:.4f}" for name, value in lowest.items()) or NONE,
            ("yes" if min(lowest.values()) >= REACH else "no") if lowest else NONE,
        ),
        (
            "principal features only: accuracy falls by no more than the paper's worst row on at"
            " least four of five data sets",
            (f"points, by value / by contrast: {', '.join(texts)}" if texts else NONE)
            + (f"; least McNemar p {min(known):.2g}" if known else ""),
            f"cannot be told: that row is {NOT_TO_HAND}",
        ),
    ]
    return markdown(("to be reached", "measured", "reached"), rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it reads in a terminal too."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])


def legend() -> str:
    """What the columns mean, in a few sentences."""
    return (
        "Table I: correlation over the test cases of a map's sum, on the grid of the network's"
        " input, with the class's logit (Pearson where the pair may be bivariate normal, else"
        " Spearman); mean over the classes, the lowest in brackets. Class activation on a common"
        " affine scale is kind (b): such a scale cannot change a correlation.\n\n"
        "Tables II and IV, by pixelwise weights: features are ranked by their mean contribution to"
        " each class's own training cases (value), or by that less its mean over the classes"
        " (contrast, the nearest to what the authors' code runs with); the top share of every class"
        " is kept, for all cases alike, so more are kept in all. p is McNemar's exact test against"
        " all features. 'A quarter': the first quarter of the features in the order of their best"
        " rank in any class. 'Same accuracy from', by value / by contrast: the least share from"
        f" which accuracy stays within {100 * SAME:.0f} point, or one case, of that with all."
        " 'Their sum with the logit': the principal features' contributions alone, over a class's"
        " own test cases.\n\n"
        "Table III: the input times the usual CAM (0 to 1) of the predicted class."
    )


def _by_method(
    head: tuple[str, ...],
    entries: Sequence[Entry],
    cells: Callable[[Entry, Entry], tuple[str, ...]],
    paper: Mapping[str, str],
) -> str:
    rows = [
        (
            *(*_names(entry), result["method"], *cells(entry, result)),
            paper.get(result["method"], NOT_TO_HAND),
        )
        for entry in entries
        for result in entry["results"]
    ]
    return markdown(head, [*rows, *_absent(entries, len(head))])


def _names(entry: Entry) -> tuple[str, str, str]:
    return str(entry["data"]), str(entry["relation"]), str(entry["network"])


def _absent(entries: Sequence[Entry], columns: int) -> list[tuple[str, ...]]:
    """A row for each of the paper's data sets that was not run."""
    run = {entry["paper_set"] for entry in entries}
    return [
        (key, "not available here", *[NONE] * (columns - 3), NOT_TO_HAND)
        for key in PAPER_SETS
        if key not in run
    ]


def _lowest(result: Entry) -> float:
    found = mean_and_lowest(result["consistency"]["class activation"]["classes"])
    return found[1] if found else float("nan")


def _coefficient(classes: list[dict[str, Any]]) -> str:
    found = mean_and_lowest(classes)
    if found is None:
        return NONE
    mean, lowest = found
    missing = sum(row["coefficient"] != row["coefficient"] for row in classes)
    text = f"{mean:.3f} ({lowest:.3f})"
    return f"{text}, none for {missing} of {len(classes)}" if missing else text


def _range(numbers: Sequence[float]) -> str:
    known = [number for number in numbers if number == number]
    return f"{min(known):.2f} to {max(known):.2f}" if known else NONE


def _located(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return NONE
    return (
        f"{_percent(row['positive_share'])} (lesion: {_percent(row['lesion_share'])} of the image)"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if value == value else NONE


def _p(value: float) -> str:
    if value != value:
        return "no case differs"
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def _fall(found: Mapping[str, Any]) -> float:
    every, principal, _ = found["accuracy"]
    return float(every["accuracy"] - principal["accuracy"])
