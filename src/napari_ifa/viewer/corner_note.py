"""What is wrong or uncertain about the geometry, in a corner of the picture itself.

A screenshot leaves the panel behind, but not this.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_ifa.viewer.letters import GROUND
from napari_ifa.viewer.study_layer import study_on_show

if TYPE_CHECKING:
    import napari

    from napari_ifa.volumes import GeometryReport, Volume

#: Background and text of a badge, and text in the picture, by how serious it is.
BADGE_COLOURS = {
    "wrong": ("#6b1f1f", "#ffc4b8"),
    "resampled": ("#5a4a12", "#ffe08a"),
    "oblique": ("#3d4450", "#d5dae2"),
}
_IN_PICTURE = {
    "wrong": (1.0, 0.42, 0.35, 1.0),
    "resampled": (1.0, 0.80, 0.30, 1.0),
    "oblique": (0.80, 0.83, 0.87, 1.0),
}


def severity(report: GeometryReport) -> str:
    """``"wrong"`` where sides or slices cannot be relied on, ``"resampled"``, or ``"oblique"``."""
    if report.missing or report.unverified:
        return "wrong"
    return "resampled" if report.resampled or report.notes else "oblique"


class CornerNote:
    """The badge of the study on show, at the top left of the canvas; nothing where all is well."""

    def __init__(self, viewer: napari.Viewer) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        self._text = TextOverlay(position="top_left", font_size=12, visible=False, box_color=GROUND)
        viewer.canvas.overlays["napari_ifa_corner_note"] = self._text
        viewer.layers.events.inserted.connect(self._update)
        viewer.layers.events.removed.connect(self._update)
        viewer.layers.events.connect(self._update_visibility)
        viewer.dims.events.current_step.connect(self._update)
        viewer.dims.events.order.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)

    @property
    def text(self) -> str:
        """What stands in the corner; empty where nothing does."""
        return self._text.text if self._text.visible else ""

    def _update_visibility(self, event: Any) -> None:
        # Layers come and go with one event; hiding one is another.
        if event.type == "visible":
            self._update()

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        study = study_on_show(viewer)
        badge = "" if study is None else study.report.badge
        if study is not None and badge:
            lines = badge.split(" · ")
            if _is_missing(study, viewer):
                lines.append("this slice is missing")
            self._text.text = "\n".join(lines)
            self._text.color = _IN_PICTURE[severity(study.report)]
        self._text.visible = bool(badge)


def _is_missing(study: Volume, viewer: napari.Viewer) -> bool:
    """Whether the slice that fills the canvas is blank because the source lacks it."""
    across = study.source.axes.index(2)
    dims = viewer.dims
    if dims.ndim != 3 or dims.ndisplay != 2 or dims.order[0] != across:
        return False
    return dims.current_step[across] in study.report.missing
