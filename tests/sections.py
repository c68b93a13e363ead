"""A small section of a report, with two rows and a figure."""

from __future__ import annotations

from matplotlib.figure import Figure

from napari_ifa.evaluation.section import Section


def drawing(title: str = "a line") -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [1, 3])
    axes.set_title(title)
    return figure


def section(key: str = "one", **changes) -> Section:
    content = {
        "title": "First",
        "meaning": "It is 1.",
        "limits": "It is not 2.",
        "rows": ({"case": "a", "value": 1.0}, {"case": "b", "value": float("nan")}),
        "columns": {"case": "the case", "value": "a number (logit)"},
        "draw": drawing,
    }
    return Section(key=key, **(content | changes))
