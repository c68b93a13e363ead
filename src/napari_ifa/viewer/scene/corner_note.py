"""What a picture could be mistaken for, in a corner of the picture itself.

A screenshot leaves the panel behind, but not this.
"""

from __future__ import annotations

import weakref
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.viewer.scene.evidence_map import features_kept
from napari_ifa.viewer.scene.letters import GROUND
from napari_ifa.viewer.scene.orientation import unusual_view
from napari_ifa.viewer.scene.other_layers import remarks
from napari_ifa.viewer.scene.study_layer import VOLUME_KEY, patient_on_show, studies_on_show

if TYPE_CHECKING:
    import napari

    from napari_ifa.viewer.scene.scene import Scene
    from napari_ifa.viewer.state.session import Session
    from napari_ifa.volumes import GeometryReport, Volume

#: Background and text of a badge, and text in the picture, by how serious it is.
BADGE_COLOURS = {
    "wrong": ("#6b1f1f", "#ffc4b8"),
    "resampled": ("#5a4a12", "#ffe08a"),
    "oblique": ("#3d4450", "#d5dae2"),
}
#: Letters of a line, the least and the most: it must not reach the letter of the patient's side
#: in the middle, in a small window or a part of the grid either.
_LEAST, _MOST = 12, 34
#: Pixels of a letter, and of what stands beside the line: the margin and half of that letter.
_LETTER, _BESIDE = 12.0, 24.0
#: The worst first.
_IN_PICTURE = {
    "wrong": (1.0, 0.42, 0.35, 1.0),
    "resampled": (1.0, 0.80, 0.30, 1.0),
    "oblique": (0.80, 0.83, 0.87, 1.0),
}

NOT_ON_SCALE = "not the common scale: its colours were changed"
_MAP_MOVED = "the map was moved: it is not over what it is of"
_STUDY_CHANGED = "the study was moved or changed after reading"


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
        self._width = _MOST
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
        viewer.canvas.events.size.connect(self._refill)
        viewer.canvas.grid.events.connect(self._refill)
        scene.map.changed.connect(self._update)
        scene.given_up.connect(self._update)

    @property
    def text(self) -> str:
        """What stands in the corner, the worst first, a line for each thing."""
        return "\n".join(self._lines)

    def _update_for_layers(self, event: Any) -> None:
        # Layers come and go with one event; what is done to one of them is another.
        if event.type in ("visible", "units", "projection_mode"):
            self._update()

    def _refill(self, event: Any = None) -> None:
        """Break the lines again where the picture has become wider or narrower."""
        viewer = self._viewer()
        if viewer is not None and _letters_of_a_line(viewer) != self._width:
            self._update()

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        studies = studies_on_show(viewer)
        lines = self._of_map()
        if not self._scene.study_holds:
            lines.append(("wrong", _STUDY_CHANGED))
        if studies:
            kind = severity(studies[-1].report)
            lines += [(kind, line) for line in _of_study(studies[-1], viewer)]
        if any(volume is not self._session.volume for volume in studies):
            lines.append(("wrong", "with another study: the map is not of it"))
        if patient_on_show(viewer):
            lines.append(("wrong", unusual_view(viewer)))
        lines += [("resampled", line) for line in (*_of_slab(viewer), *remarks(viewer))]
        self._lines = []
        self._width = width = _letters_of_a_line(viewer)
        for kind, text in self._texts.items():
            said = [line for of_kind, line in lines if of_kind == kind and line]
            if said:
                text.text = "\n".join(fill(line, width) for line in said)
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
            if not self._scene.map.in_place:
                lines.append(("wrong", _MAP_MOVED))
            lines.append(("resampled", features_kept(explanation)))
        return lines


def _letters_of_a_line(viewer: napari.Viewer) -> int:
    """As many as end before the middle of the picture, or of each part of the grid."""
    _, width = viewer.canvas.viewbox_size(viewer.layers)
    return max(_LEAST, min(_MOST, int((width / 2 - _BESIDE) / _LETTER)))


def _of_study(study: Volume, viewer: napari.Viewer) -> list[str]:
    lines = study.report.badge.split(" · ")
    return [*lines, "this slice is missing"] if _is_missing(study, viewer) else lines


def _of_slab(viewer: napari.Viewer) -> list[str]:
    """A study can be seen through several slices at once; its map is of the middle one."""
    dims = viewer.dims
    if dims.ndisplay != 2 or dims.ndim < 3:
        return []
    across = dims.order[-3]
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
    dims = viewer.dims
    # Axes that other layers bring come before those of the study.
    own = dims.ndim - len(study.shape)
    across = study.source.axes.index(2)
    if own < 0 or dims.ndisplay != 2 or own + across in dims.order[-2:]:
        return False
    # Not the step of the slider, which counts from where the first of all layers begins.
    away = dims.point[own + across] - study.translate[across]
    return int(np.floor(away / study.spacing[across] + 0.5)) in study.report.missing
