"""The letters at the edges of the picture that say where the patient's sides are."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_ifa.viewer.scene.orientation import NO_EDGES, edges
from napari_ifa.viewer.scene.study_layer import patient_on_show

if TYPE_CHECKING:
    import napari

_PLACES = ("top_center", "bottom_center", "middle_left", "middle_right")
#: Yellow as on a workstation, and what it is read on: in napari's light theme the canvas is white.
_YELLOW, GROUND = (1.0, 0.86, 0.2, 1.0), (0.0, 0.0, 0.0, 0.75)


class OrientationLetters:
    """Four canvas overlays that follow the axes and the camera; none in 3D or without a patient."""

    def __init__(self, viewer: napari.Viewer) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        self._texts = [
            TextOverlay(position=place, font_size=14, color=_YELLOW, box_color=GROUND, gridded=True)
            for place in _PLACES
        ]
        for place, text in zip(_PLACES, self._texts, strict=True):
            viewer.canvas.overlays[f"napari_ifa_{place}"] = text
        viewer.dims.events.order.connect(self._update)
        viewer.dims.events.ndim.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)
        viewer.scene.camera.events.orientation.connect(self._update)
        viewer.layers.events.inserted.connect(self._update)
        viewer.layers.events.removed.connect(self._update)
        viewer.layers.events.connect(self._update_visibility)
        self._update()

    @property
    def letters(self) -> tuple[str, ...]:
        """What stands at the top, bottom, left and right; empty where nothing is shown."""
        return tuple(text.text if text.visible else "" for text in self._texts)

    def _update_visibility(self, event: Any) -> None:
        # Layers come and go with one event; hiding one is another.
        if event.type == "visible":
            self._update()

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        letters = edges(viewer) if patient_on_show(viewer) else NO_EDGES
        for text, letter in zip(self._texts, letters, strict=True):
            if letter:
                text.text = letter
            text.visible = bool(letter)
