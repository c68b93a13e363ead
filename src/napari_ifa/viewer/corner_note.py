"""What a picture could be mistaken for, in a corner of the picture itself.

A screenshot leaves the panel behind, but not this.
"""

from __future__ import annotations

import weakref
from textwrap import fill
from typing import TYPE_CHECKING, Any

from napari_ifa.viewer.evidence_map import features_kept
from napari_ifa.viewer.letters import GROUND
from napari_ifa.viewer.orientation import unusual_view
from napari_ifa.viewer.other_layers import remarks
from napari_ifa.viewer.study_layer import (
    VOLUME_KEY,
    patient_on_show,
    studies_on_show,
    study_on_show,
)

if TYPE_CHECKING:
    import napari

    from napari_ifa.viewer.scene import Scene
    from napari_ifa.viewer.session import Session
    from napari_ifa.volumes import GeometryReport, Volume

#: Background and text of a badge, and text in the picture, by how serious it is.
BADGE_COLOURS = {
    "wrong": ("#6b1f1f", "#ffc4b8"),
    "resampled": ("#5a4a12", "#ffe08a"),
    "oblique": ("#3d4450", "#d5dae2"),
}
#: Letters of a line, which must not reach the letter of the patient's side in the middle.
_WIDTH = 34
#: The worst first.
_IN_PICTURE = {
    "wrong": (1.0, 0.42, 0.35, 1.0),
    "resampled": (1.0, 0.80, 0.30, 1.0),
    "oblique": (0.80, 0.83, 0.87, 1.0),
}

NOT_ON_SCALE = "not the common scale: its colours were changed"


def severity(report: GeometryReport) -> str:
    """``"wrong"`` where sides or slices cannot be relied on, ``"resampled"``, or ``"oblique"``."""
    if report.missing or report.unverified:
        return "wrong"
    return "resampled" if report.resampled or report.notes else "oblique"


class CornerNote:
    """Lines at the top left of the canvas; nothing where all is as a radiologist expects it."""

    def __init__(self, viewer: napari.Viewer, session: Session, scene: Scene) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        self._session, self._scene = session, scene
        self._lines: list[str] = []
        # One below the other, as napari lays out what is in the same corner.
        self._texts = {
            kind: TextOverlay(
                position="top_left",
                font_size=12,
                color=colour,
                visible=False,
                box_color=GROUND,
                gridded=True,
            )
            for kind, colour in _IN_PICTURE.items()
        }
        for kind, text in self._texts.items():
            viewer.canvas.overlays[f"napari_ifa_corner_note_{kind}"] = text
        viewer.layers.events.inserted.connect(self._update)
        viewer.layers.events.removed.connect(self._update)
        viewer.layers.events.connect(self._update_for_layers)
        for name in ("current_step", "order", "ndisplay", "margin_left", "margin_right"):
            getattr(viewer.dims.events, name).connect(self._update)
        viewer.scene.camera.events.orientation.connect(self._update)
        scene.map.changed.connect(self._update)

    @property
    def text(self) -> str:
        """What stands in the corner, the worst first, a line for each thing."""
        return "\n".join(self._lines)

    def _update_for_layers(self, event: Any) -> None:
        # Layers come and go with one event; what is done to one of them is another.
        if event.type in ("visible", "units", "projection_mode"):
            self._update()

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        study = study_on_show(viewer)
        lines = self._of_map()
        if study is not None:
            lines += [(severity(study.report), line) for line in _of_study(study, viewer)]
        if any(volume is not self._session.volume for volume in studies_on_show(viewer)):
            lines.append(("wrong", "with another study: the map is not of it"))
        if patient_on_show(viewer):
            lines.append(("wrong", unusual_view(viewer)))
        lines += [("resampled", line) for line in (*_of_slab(viewer), *remarks(viewer))]
        self._lines = []
        for kind, text in self._texts.items():
            said = [line for of_kind, line in lines if of_kind == kind and line]
            if said:
                text.text = "\n".join(fill(line, _WIDTH) for line in said)
            text.visible = bool(said)
            self._lines += said

    def _of_map(self) -> list[tuple[str, str]]:
        explanation, fit = self._session.explanation, self._session.fit
        if explanation is None:
            return []
        # Of the answer, whether or not its map is on show.
        lines = [("wrong", fit.words if fit is not None and fit.outside else "")]
        if self._scene.map.on_show:
            if not self._scene.map.on_scale:
                lines.append(("wrong", NOT_ON_SCALE))
            lines.append(("resampled", features_kept(explanation)))
        return lines


def _of_study(study: Volume, viewer: napari.Viewer) -> list[str]:
    lines = study.report.badge.split(" · ")
    return [*lines, "this slice is missing"] if _is_missing(study, viewer) else lines


def _of_slab(viewer: napari.Viewer) -> list[str]:
    """A study can be seen through several slices at once; its map is of the middle one."""
    dims = viewer.dims
    across = dims.order[0]
    if dims.ndisplay != 2 or dims.ndim != 3:
        return []
    thickness = dims.margin_left[across] + dims.margin_right[across]
    kinds = {
        str(layer.projection_mode)
        for layer in viewer.layers
        if layer.visible and VOLUME_KEY in layer.metadata
    }
    projected = sorted(kinds - {"none"})
    if thickness <= 0 or not projected:
        return []
    return [f"study: {projected[0]} of a slab, {thickness:.3g} mm; map: its middle slice"]


def _is_missing(study: Volume, viewer: napari.Viewer) -> bool:
    """Whether the slice that fills the canvas is blank because the source lacks it."""
    across = study.source.axes.index(2)
    dims = viewer.dims
    if dims.ndim != 3 or dims.ndisplay != 2 or dims.order[0] != across:
        return False
    return dims.current_step[across] in study.report.missing
