"""The letters at the edges of the picture that say where the patient's sides are."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_ifa.viewer.study_layer import study_on_show

if TYPE_CHECKING:
    import napari

#: What an (I, P, L) axis begins with and ends with.
_ENDS = (("S", "I"), ("A", "P"), ("R", "L"))
_PLACES = ("top_center", "bottom_center", "middle_left", "middle_right")
#: Yellow as on a workstation, and what it is read on: in napari's light theme the canvas is white.
_YELLOW, GROUND = (1.0, 0.86, 0.2, 1.0), (0.0, 0.0, 0.0, 0.75)


class OrientationLetters:
    """Four canvas overlays that follow the order of the axes; none in 3D."""

    def __init__(self, viewer: napari.Viewer) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        self._texts = [
            TextOverlay(position=place, font_size=14, color=_YELLOW, box_color=GROUND)
            for place in _PLACES
        ]
        for place, text in zip(_PLACES, self._texts, strict=True):
            viewer.canvas.overlays[f"napari_ifa_{place}"] = text
        viewer.dims.events.order.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)
        viewer.layers.events.inserted.connect(self._update)
        viewer.layers.events.removed.connect(self._update)
        self._update()

    @property
    def letters(self) -> tuple[str, ...]:
        """What stands at the top, bottom, left and right; empty where nothing is shown."""
        return tuple(text.text if text.visible else "" for text in self._texts)

    def _update(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        shown = viewer.dims.ndisplay == 2 and viewer.dims.ndim == 3 and len(viewer.layers) > 0
        study = study_on_show(viewer)
        if study is not None and not study.source.placed:
            # Nothing says where the sides of the patient are.
            shown = False
        if shown:
            vertical, horizontal = viewer.dims.order[-2:]
            for text, letter in zip(
                self._texts, (*_ENDS[vertical], *_ENDS[horizontal]), strict=True
            ):
                text.text = letter
        for text in self._texts:
            text.visible = shown
