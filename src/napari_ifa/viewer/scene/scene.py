"""The session in the viewer's layers: the study, the plane it is seen in, and the map over it.

A study is an Image layer in its own planes, in mm; the map lies over it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_ifa.viewer.scene.evidence_map import EvidenceMap
from napari_ifa.viewer.scene.grey import grey_colormap
from napari_ifa.viewer.scene.layer_guard import DATA, PLACE, LayerGuard
from napari_ifa.viewer.scene.orientation import RADIOLOGICAL
from napari_ifa.viewer.scene.other_layers import disown
from napari_ifa.viewer.scene.study_layer import image_layer_data, opened_volume
from napari_ifa.viewer.scene.window_level import window_level_drag

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_ifa.analysis import Explanation
    from napari_ifa.viewer.state.session import Session
    from napari_ifa.volumes import Volume, Window

#: Order of the (I, P, L) axes that shows each plane as a radiologist expects it, without flips.
PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
_KEPT_PLACE = "The study was put back: it lies where its images were acquired, in mm."
_KEPT_DATA = "The voxels of the study were put back: what is explained is what was read."


class Scene:
    """Keeps the viewer's layers equal to the session.

    It holds the viewer weakly: the viewer owns, through its window, whatever shows it.

    Attributes
    ----------
    image : the study's layer.
    map : the map's layers.

    Signals
    -------
    plane_changed(plane) : another plane is on show, by whatever way a person chose it.
    given_up() : something keeps changing the place or the voxels of the study.
    """

    plane_changed = Signal(str)
    given_up = Signal()

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer = weakref.ref(viewer)
        self._session = session
        self.image: Image | None = None
        self._image_is_ours = False
        self._guard = LayerGuard(self._tell_put_back, lambda layer, names: self.given_up.emit())
        self.map = EvidenceMap(viewer, lambda sentence: session.say("note", sentence))
        # What the study was last given; a drag of the mouse moves its limits afterwards.
        self._window: Window | None = None
        # The order of the axes before the viewer turned to 3D.
        self._flat_order: tuple[int, ...] = ()
        self._busy = False
        session.volume_changed.connect(self._show_volume)
        session.explanation_changed.connect(self._show_explanation)
        session.mask_changed.connect(self.map.keep_features)
        viewer.layers.events.inserted.connect(self._adopt)
        viewer.layers.events.removed.connect(self._forget)
        viewer.layers.events.reordered.connect(self._keep_order)
        viewer.dims.events.axis_labels.connect(self._keep_axis_labels)
        viewer.dims.events.ndisplay.connect(self._face_3d)
        viewer.dims.events.ndisplay.connect(self._tell_plane)
        viewer.dims.events.order.connect(self._tell_plane)
        viewer.mouse_drag_callbacks.append(window_level_drag(lambda: self.image))
        for layer in list(viewer.layers):
            self._adopt_layer(layer)

    @property
    def study_holds(self) -> bool:
        """Whether the study lies where its images were acquired, with the voxels that were read."""
        return self.image is None or self._guard.holds(self.image, (*PLACE, *DATA))

    @property
    def opacity(self) -> float:
        """Opacity of the map, 0 to 1."""
        return self.map.opacity

    @opacity.setter
    def opacity(self, value: float) -> None:
        self.map.opacity = value

    def show_map(self) -> None:
        """Bring the map back that somebody has removed."""
        self._show_explanation(self._session.explanation)

    @property
    def window(self) -> Window | None:
        """How the study is shown now, wherever its limits have been dragged to."""
        from napari_ifa.volumes import Window

        image = self.image
        if image is None or image.rgb or self._window is None:
            return None
        low, high = (float(limit) for limit in image.contrast_limits)
        if np.allclose((low, high), self._window.limits):
            return self._window
        # Between just these limits, whatever centre and width mean in the file's own window.
        return Window((low + high) / 2, high - low, curve=self._window.curve)

    def show_window(self, window: Window) -> None:
        """Show the study between the limits of a window, along its curve."""
        image, volume = self.image, self._session.volume
        if image is None or volume is None or image.rgb:
            return
        self._window = window
        image.colormap = grey_colormap(window, volume.inverted)
        # Limits beyond napari's slider would be cut at its ends.
        low, high = image.contrast_limits_range
        image.contrast_limits_range = (min(low, window.limits[0]), max(high, window.limits[1]))
        image.contrast_limits = window.limits

    def show_plane(self, plane: str) -> None:
        """``"axial"``, ``"coronal"``, ``"sagittal"`` or ``"3D"``."""
        viewer = self._viewer()
        if viewer is None:
            return
        # Before napari asks the overlay for its whole volume, as it does at its own button.
        self.map.prepare(3 if plane == "3D" else 2)
        viewer.scene.camera.orientation = RADIOLOGICAL
        if plane == "3D":
            viewer.dims.order = PLANES["axial"]
            viewer.dims.ndisplay = 3
            viewer.reset_view()
            # Seen from the front, head up.
            viewer.scene.camera.set_view_direction((0, 1, 0), (-1, 0, 0))
        else:
            viewer.dims.ndisplay = 2
            viewer.dims.order = PLANES[plane]
            viewer.reset_view()

    @property
    def plane(self) -> str:
        """What ``show_plane`` takes, of the view as it is now; empty for another order."""
        viewer = self._viewer()
        if viewer is None or viewer.dims.ndim != 3:
            return ""
        if viewer.dims.ndisplay == 3:
            return "3D"
        order = tuple(viewer.dims.order)
        return next((name for name, axes in PLANES.items() if axes == order), "")

    # -------------------------------------------------------------- the study

    def _show_volume(self, volume: Volume | None) -> None:
        viewer = self._viewer()
        if viewer is None or self._busy:
            return
        # napari clears the graphics card's memory after each layer that goes: once is enough.
        with viewer.layers.batched_update():
            self.map.remove()
            self._put_away_image()
            if volume is None:
                return
            data, attributes, _ = image_layer_data(volume, self._session.opened)
            self._busy = True
            try:
                self.image = viewer.add_image(data, **attributes)
                self._image_is_ours = True
                viewer.layers.move(len(viewer.layers) - 1, 0)
            finally:
                self._busy = False
            self._watch(self.image)
        self._face(volume)

    def _put_away_image(self) -> None:
        """Two studies are not shown at once; a layer that a person added is hidden and kept."""
        viewer, image = self._viewer(), self.image
        self.image = None
        if image is None or viewer is None:
            return
        self._guard.release(image)
        if not self._image_is_ours:
            image.visible = False
        elif image in viewer.layers:
            viewer.layers.remove(image)

    def _watch(self, image: Image) -> None:
        """Keep the study where it lies, and with the voxels that the model sees."""
        image.editable = False
        self._guard.watch(image, (*PLACE, *DATA))

    def _tell_put_back(self, layer: Layer, names: frozenset[str]) -> None:
        self._session.say("note", _KEPT_PLACE if names & set(PLACE) else _KEPT_DATA)

    def _face(self, volume: Volume) -> None:
        """Show the plane the images were acquired in, at the middle slice."""
        from napari_ifa.volumes.windowing import default_window

        viewer = self._viewer()
        assert viewer is not None
        # Only now: without a layer in mm it would have no unit.
        viewer.canvas.overlays["scale_bar"].visible = volume.source.placed
        self._window = None if volume.is_colour else default_window(volume)
        slice_axis = volume.source.axes.index(2)
        plane = next(name for name, order in PLANES.items() if order[0] == slice_axis)
        self.show_plane(plane)
        middle = (np.array(volume.shape) - 1) // 2 * volume.spacing + volume.translate
        # In mm, since steps count from where the first of all layers begins.
        viewer.dims.set_point(range(viewer.dims.ndim - 3, viewer.dims.ndim), tuple(middle))

    def _adopt(self, event: Any) -> None:
        self._adopt_layer(event.value)

    def _adopt_layer(self, layer: Any) -> None:
        """A study that came in by napari's own ways (a drop, File > Open) is the study."""
        if self._busy or self.map.at_work or layer is self.image:
            return
        volume = opened_volume(layer)
        if volume is None or volume is self._session.volume:
            disown(layer)
            return
        # It is being inserted among the layers, so none of them is removed just now.
        if self.image is not None:
            self._guard.release(self.image)
            self.image.visible = False
        self.image, self._image_is_ours = layer, False
        self._busy = True
        try:
            self._session.set_volume(volume)
        finally:
            self._busy = False
        self._watch(layer)
        self._face(volume)

    def _forget(self, event: Any) -> None:
        layer, viewer = event.value, self._viewer()
        if layer is not self.image or viewer is None:
            return
        self._guard.release(layer)
        self.image = None
        if self._busy:
            return
        if any(shown in viewer.layers.selection for shown in self.map.layers):
            # Whoever removes both, as napari's own menus do, still has the map to remove.
            QTimer.singleShot(0, self._close_study)
        else:
            self._close_study()

    def _close_study(self) -> None:
        if self.image is None:
            self._session.set_volume(None)

    def _keep_order(self, event: Any) -> None:
        # Only once napari has finished moving layers.
        QTimer.singleShot(0, lambda: self.map.stay_above(self.image))

    def _keep_axis_labels(self, event: Any) -> None:
        # Only once napari's sliders, whose labels can be typed into, have done with it.
        QTimer.singleShot(0, self._label_axes)

    def _label_axes(self) -> None:
        """The axes are called what they are: the scene's arrows and the sliders name them."""
        viewer, image = self._viewer(), self.image
        if viewer is None or image is None or image not in viewer.layers:
            return
        labels = tuple(viewer.dims.axis_labels)
        own = tuple(image.axis_labels)
        if labels[-len(own) :] != own:
            viewer.dims.axis_labels = (*labels[: -len(own)], *own)

    # ------------------------------------------------------------ the overlay

    def _show_explanation(self, explanation: Explanation | None) -> None:
        if explanation is None:
            self.map.remove()
        else:
            self.map.show(explanation)

    def _face_3d(self, event: Any) -> None:
        """napari's own button turns any plane into 3D: a coronal one would be a mirror image."""
        viewer = self._viewer()
        if viewer is None or self._session.volume is None:
            return
        dims = viewer.dims
        others = tuple(range(dims.ndim - 3))
        in_3d = (*others, *(len(others) + axis for axis in PLANES["axial"]))
        if dims.ndisplay == 3:
            self.map.prepare(3)
            self._flat_order = tuple(dims.order)
            dims.order = in_3d
        elif tuple(dims.order) == in_3d and len(self._flat_order) == dims.ndim:
            dims.order = self._flat_order

    def _tell_plane(self, event: Any = None) -> None:
        self.plane_changed.emit(self.plane)
