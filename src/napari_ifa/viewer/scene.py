"""The session in the viewer's layers: the one module that touches ``viewer.layers``.

A study is an Image layer in its own planes, in mm. The overlay lies on the same grid; in 3D a
small layer takes its place, which the graphics card interpolates.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_ifa.viewer.grey import grey_colormap
from napari_ifa.viewer.overlay import (
    OPACITY_3D,
    ActivationOverlay,
    CoarseActivation,
    diverging_colormap,
    diverging_colormap_3d,
)
from napari_ifa.viewer.study_layer import (
    EXPLANATION_KEY,
    VOLUME_KEY,
    image_layer_data,
    placement,
)
from napari_ifa.viewer.window_level import window_level_drag

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_ifa.analysis import Explanation
    from napari_ifa.viewer.session import Session
    from napari_ifa.volumes import Volume, Window

#: Order of the (I, P, L) axes that shows each plane as a radiologist expects it, without flips.
PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
OVERLAY_NAME = "S-CAM"
RAW_NAME = "class activation"


class Scene:
    """Keeps the viewer's layers equal to the session.

    It holds the viewer weakly: the viewer owns, through its window, whatever shows it.

    Signals
    -------
    plane_changed(plane) : another plane is on show, by whatever way a person chose it.
    """

    plane_changed = Signal(str)

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer = weakref.ref(viewer)
        self._session = session
        self._image: Image | None = None
        self._image_is_ours = False
        self._overlay: Image | None = None
        self._overlay_3d: Image | None = None
        self._coarse: CoarseActivation | None = None
        self._opacity = 0.75
        # What the study was last given; a drag of the mouse moves its limits afterwards.
        self._window: Window | None = None
        self._busy = False
        session.volume_changed.connect(self._show_volume)
        session.explanation_changed.connect(self._show_explanation)
        session.mask_changed.connect(self._keep_features)
        viewer.layers.events.inserted.connect(self._adopt)
        viewer.layers.events.removed.connect(self._forget)
        viewer.dims.events.ndisplay.connect(self._exchange_overlays)
        viewer.dims.events.ndisplay.connect(self._tell_plane)
        viewer.dims.events.order.connect(self._tell_plane)
        viewer.mouse_drag_callbacks.append(window_level_drag(lambda: self._image))
        for layer in list(viewer.layers):
            self._adopt_layer(layer)

    @property
    def image(self) -> Image | None:
        """The study's layer."""
        return self._image

    @property
    def overlay(self) -> Image | None:
        """The overlay's layer; its ``data`` is an ActivationOverlay."""
        return self._overlay

    @property
    def overlay_3d(self) -> Image | None:
        """What stands for the overlay while the viewer shows 3D."""
        return self._overlay_3d

    @property
    def opacity(self) -> float:
        """Opacity of the overlay, 0 to 1."""
        return self._opacity if self._overlay is None else float(self._overlay.opacity)

    @opacity.setter
    def opacity(self, value: float) -> None:
        self._opacity = value
        for layer in (self._overlay, self._overlay_3d):
            if layer is not None:
                layer.opacity = value

    @property
    def window(self) -> Window | None:
        """How the study is shown now, wherever its limits have been dragged to."""
        from napari_ifa.volumes import Window

        image = self._image
        if image is None or image.rgb or self._window is None:
            return None
        low, high = (float(limit) for limit in image.contrast_limits)
        if np.allclose((low, high), self._window.limits):
            return self._window
        # Between just these limits, whatever centre and width mean in the file's own window.
        return Window((low + high) / 2, high - low, curve=self._window.curve)

    def show_window(self, window: Window) -> None:
        """Show the study between the limits of a window, along its curve."""
        image, volume = self._image, self._session.volume
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
        self._exchange_for(3 if plane == "3D" else 2)
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
        if self._overlay is not None:
            self._opacity = self._overlay.opacity
        # napari clears the graphics card's memory after each layer that goes: once is enough.
        with viewer.layers.batched_update():
            self._remove(self._overlay_3d)
            self._remove(self._overlay)
            self._put_away_image()
            if volume is None:
                return
            data, attributes, _ = image_layer_data(volume, self._session.opened)
            self._busy = True
            try:
                self._image = viewer.add_image(data, **attributes)
                self._image_is_ours = True
            finally:
                self._busy = False
            viewer.layers.move(len(viewer.layers) - 1, 0)
        self._face(volume)

    def _put_away_image(self) -> None:
        """Two studies are not shown at once; a layer that a person added is hidden and kept."""
        image, self._image = self._image, None
        if image is not None and not self._image_is_ours:
            image.visible = False
        else:
            self._remove(image)

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
        middle = [(n - 1) // 2 for n in volume.shape]
        viewer.dims.current_step = tuple(middle)

    def _adopt(self, event: Any) -> None:
        self._adopt_layer(event.value)

    def _adopt_layer(self, layer: Any) -> None:
        """A study that came in by napari's own ways (a drop, File > Open) is the study."""
        volume = layer.metadata.get(VOLUME_KEY)
        if volume is None or self._busy or layer is self._image:
            return
        # It is being inserted among the layers, so none of them is removed just now.
        if self._image is not None:
            self._image.visible = False
        self._image, self._image_is_ours = layer, False
        self._busy = True
        try:
            self._session.set_volume(volume)
        finally:
            self._busy = False
        self._face(volume)

    def _forget(self, event: Any) -> None:
        layer = event.value
        if layer is self._overlay:
            self._overlay = None
        elif layer is self._overlay_3d:
            self._overlay_3d = None
        elif layer is self._image:
            self._image = None
            if not self._busy:
                self._session.set_volume(None)

    # ------------------------------------------------------------ the overlay

    def _show_explanation(self, explanation: Explanation | None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        if explanation is None:
            self._remove(self._overlay_3d)
            self._remove(self._overlay)
            return
        values = ActivationOverlay(explanation)
        look = {
            "name": RAW_NAME if explanation.scale is None else OVERLAY_NAME,
            "colormap": diverging_colormap(values.neutral),
            "metadata": {"neutral": values.neutral, EXPLANATION_KEY: explanation},
        }
        self._remove(self._overlay_3d)
        if self._overlay is None or self._overlay.data.volume is not explanation.volume:
            self._remove(self._overlay)
            self._overlay = viewer.add_image(
                values,
                rgb=False,
                multiscale=False,
                contrast_limits=values.limits,
                blending="translucent_no_depth",
                interpolation2d="linear",
                opacity=self._opacity,
                visible=viewer.dims.ndisplay == 2,
                **look,
                **placement(explanation.volume),
            )
        else:
            # Another layer in its place would take several times as long to appear.
            self._opacity = self._overlay.opacity
            self._overlay.data = values
            self._overlay.contrast_limits_range = values.limits
            self._overlay.contrast_limits = values.limits
            for attribute, value in look.items():
                setattr(self._overlay, attribute, value)
        if viewer.dims.ndisplay == 3:
            self._add_overlay_3d()

    def _keep_features(self, explanation: Explanation) -> None:
        if self._overlay is None:
            return
        self._overlay.metadata[EXPLANATION_KEY] = explanation
        self._overlay.data.keep_features(explanation.mask.keep)
        self._overlay.refresh(extent=False)
        if self._overlay_3d is not None and self._coarse is not None:
            self._overlay_3d.metadata[EXPLANATION_KEY] = explanation
            self._overlay_3d.data = self._coarse.activation()

    def _exchange_overlays(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is not None:
            self._exchange_for(viewer.dims.ndisplay)

    def _exchange_for(self, ndisplay: int) -> None:
        viewer = self._viewer()
        if viewer is None or self._overlay is None:
            return
        if ndisplay == 3 and self._overlay_3d is None:
            shown = self._overlay.visible
            self._overlay.visible = False
            if shown:
                self._add_overlay_3d()
        elif ndisplay == 2 and self._overlay_3d is not None:
            shown = self._overlay_3d.visible
            self._opacity = self._overlay_3d.opacity
            self._remove(self._overlay_3d)
            self._overlay.opacity = self._opacity
            self._overlay.visible = shown
            viewer.layers.selection.active = self._overlay

    def _tell_plane(self, event: Any = None) -> None:
        self.plane_changed.emit(self.plane)

    def _add_overlay_3d(self) -> None:
        viewer = self._viewer()
        assert viewer is not None
        assert self._overlay is not None
        values: ActivationOverlay = self._overlay.data
        volume = values.volume
        if values.scale is None:
            colormap = diverging_colormap(values.neutral, OPACITY_3D)
            limits = values.limits
        else:
            colormap, limits = diverging_colormap_3d(values.scale)
        self._coarse = CoarseActivation(values, volume)
        self._overlay_3d = viewer.add_image(
            self._coarse.activation(),
            rgb=False,
            multiscale=False,
            name=f"{self._overlay.name} 3D",
            colormap=colormap,
            contrast_limits=limits,
            rendering="translucent",
            blending="translucent_no_depth",
            interpolation3d="linear",
            opacity=self._opacity,
            metadata={
                "neutral": values.neutral,
                EXPLANATION_KEY: self._overlay.metadata[EXPLANATION_KEY],
            },
            **placement(self._coarse.volume),
        )

    def _remove(self, layer: Image | None) -> None:
        viewer = self._viewer()
        if layer is None or viewer is None or layer not in viewer.layers:
            return
        busy, self._busy = self._busy, True
        try:
            viewer.layers.remove(layer)
        finally:
            self._busy = busy
