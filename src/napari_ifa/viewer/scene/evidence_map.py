"""The map's layers: one on the grid of the study in 2D, a small one in its place in 3D.

Their colours and their place say what the map means, so that nothing but this module sets them.
Opacity and visibility are a person's, and one value whichever layer shows the map.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ifa.viewer.scene.layer_guard import COLOURS, DATA, PLACE, LayerGuard
from napari_ifa.viewer.scene.overlay import (
    OPACITY_3D,
    ActivationOverlay,
    CoarseActivation,
    diverging_colormap,
    diverging_colormap_3d,
)
from napari_ifa.viewer.scene.study_layer import EXPLANATION_KEY, placement

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_ifa.analysis import Explanation

MAP_NAME = "evidence map"
_GUARDED = (*PLACE, *COLOURS, *DATA)
_KEPT_PLACE = "The evidence map was put back: it lies where the study lies."
_KEPT_COLOURS = (
    "The colours of the evidence map were put back: equal colours mean the same in every study."
)
_KEPT_ORDER = "The evidence map was put back above the study, which would have hidden it."


class EvidenceMap:
    """Shows an explanation over the study.

    It holds the viewer weakly: the viewer owns, through its window, whatever shows it.

    Parameters
    ----------
    say : takes a sentence about what was put back.

    Attributes
    ----------
    layer : shows the map in 2D; its ``data`` is an ActivationOverlay.
    layer_3d : stands for it while the viewer shows 3D.

    Signals
    -------
    opacity_changed(float) : by whatever hand.
    changed() : the map has come, gone, been hidden or shown, or its colours cannot be relied on.
    """

    opacity_changed = Signal(float)
    changed = Signal()

    def __init__(self, viewer: napari.Viewer, say: Callable[[str], None]) -> None:
        self._viewer = weakref.ref(viewer)
        self._say = say
        self._guard = LayerGuard(self._tell_put_back, lambda layer, names: self.changed.emit())
        self.layer: Image | None = None
        self.layer_3d: Image | None = None
        self._coarse: CoarseActivation | None = None
        self._opacity = 0.75
        # Whether a person wants to see it, whichever of the two layers shows it.
        self._wanted = True
        self._busy = False
        viewer.layers.events.removed.connect(self._forget)
        viewer.dims.events.ndisplay.connect(self._exchange)

    # ------------------------------------------------------------------- state

    @property
    def opacity(self) -> float:
        """Opacity of the map, 0 to 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, value: float) -> None:
        changed = value != self._opacity
        self._opacity = value
        with self._working():
            for layer in self.layers:
                if layer.opacity != value:
                    layer.opacity = value
        if changed:
            self.opacity_changed.emit(value)

    @property
    def layers(self) -> tuple[Image, ...]:
        """Those of the two layers that there are."""
        return tuple(layer for layer in (self.layer, self.layer_3d) if layer is not None)

    @property
    def at_work(self) -> bool:
        """Whether what happens to the layers now is the map's own doing."""
        return self._busy

    @property
    def on_show(self) -> bool:
        """Whether the map can be seen now."""
        return any(layer.visible for layer in self.layers)

    @property
    def lost(self) -> bool:
        """Whether somebody has removed the layer that should show the map now."""
        viewer = self._viewer()
        in_3d = viewer is not None and viewer.dims.ndisplay == 3 and self._wanted
        return self.layer is None or (in_3d and self.layer_3d is None)

    @property
    def on_scale(self) -> bool:
        """Whether the colours are those of the legend: nothing has got the better of the guard."""
        return all(self._guard.holds(layer, (*COLOURS, *DATA)) for layer in self.layers)

    @property
    def in_place(self) -> bool:
        """Whether it lies where the study was read to lie."""
        return all(self._guard.holds(layer, PLACE) for layer in self.layers)

    # ----------------------------------------------------------------- showing

    def show(self, explanation: Explanation) -> None:
        """Show another explanation, or the same one where its layer was removed."""
        viewer = self._viewer()
        if viewer is None:
            return
        values = ActivationOverlay(explanation)
        look = {
            "name": map_name(explanation),
            "colormap": diverging_colormap(values.neutral),
            "metadata": {"neutral": values.neutral, EXPLANATION_KEY: explanation},
        }
        with self._working():
            self._remove(self.layer_3d)
            if self.layer is None or self.layer.data.volume is not explanation.volume:
                self._remove(self.layer)
                self.layer = self._add(
                    values,
                    contrast_limits=values.limits,
                    interpolation2d="linear",
                    # Of a thick slab any projection would show values that no place has.
                    projection_mode="none",
                    visible=viewer.dims.ndisplay == 2 and self._wanted,
                    **look,
                    **placement(explanation.volume),
                )
            else:
                # Another layer in its place would take several times as long to appear.
                with self._guard.changing(self.layer):
                    _set_data(self.layer, values)
                    self.layer.contrast_limits_range = values.limits
                    self.layer.contrast_limits = values.limits
                    for attribute, value in look.items():
                        setattr(self.layer, attribute, value)
            if viewer.dims.ndisplay == 3 and self._wanted:
                self._add_3d(self.layer)
        self.changed.emit()

    def keep_features(self, explanation: Explanation) -> None:
        """Show the same explanation of other features; bring the map back if it was removed."""
        if self.layer is None or self.lost:
            self.show(explanation)
            return
        with self._working():
            self.layer.data.keep_features(explanation.mask.keep)
            for layer in self.layers:
                layer.metadata[EXPLANATION_KEY] = explanation
                layer.name = map_name(explanation, layer is self.layer_3d)
            self.layer.refresh(extent=False)
            if self.layer_3d is not None and self._coarse is not None:
                with self._guard.changing(self.layer_3d):
                    _set_data(self.layer_3d, self._coarse.activation())
        self.changed.emit()

    def remove(self) -> None:
        """Take the map away: there is no explanation any more."""
        with self._working():
            self._remove(self.layer_3d)
            self._remove(self.layer)
            self._wanted = True
        self.changed.emit()

    def prepare(self, ndisplay: int) -> None:
        """Exchange the layers before napari asks the large one for its whole volume."""
        with self._working():
            if ndisplay == 2:
                self._remove(self.layer_3d)
            if self.layer is not None:
                self.layer.visible = ndisplay == 2 and self._wanted
                if ndisplay == 3 and self._wanted:
                    if self.layer_3d is None:
                        self._add_3d(self.layer)
                    else:
                        self.layer_3d.visible = True
        self.changed.emit()

    def stay_above(self, study: Image | None) -> None:
        """Put the map back above the study if it has been dragged below it."""
        viewer = self._viewer()
        if viewer is None or study is None or study not in viewer.layers or self._busy:
            return
        below = [
            layer
            for layer in self.layers
            if layer in viewer.layers and viewer.layers.index(layer) < viewer.layers.index(study)
        ]
        if not below:
            return
        with self._working():
            for layer in below:
                # The place between two layers, counted before the layer is taken out of its own.
                viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(study) + 1)
        self._say(_KEPT_ORDER)

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _working(self) -> Generator[None, None, None]:
        """What happens inside is no person's doing."""
        busy, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = busy

    def _add(self, data: Any, **attributes: Any) -> Image:
        viewer = self._viewer()
        assert viewer is not None
        selected, active = set(viewer.layers.selection), viewer.layers.selection.active
        layer: Image = viewer.add_image(
            data,
            rgb=False,
            multiscale=False,
            blending="translucent_no_depth",
            opacity=self._opacity,
            **attributes,
        )
        layer.editable = False
        # Keys and layer controls go on acting on what they acted on: the study, as a rule.
        viewer.layers.selection = selected
        viewer.layers.selection.active = active
        self._guard.watch(layer, _GUARDED)
        layer.events.opacity.connect(self._follow_opacity)
        layer.events.visible.connect(self._follow_visibility)
        return layer

    def _add_3d(self, flat: Image) -> None:
        values: ActivationOverlay = flat.data
        if values.scale is None:
            colormap = diverging_colormap(values.neutral, OPACITY_3D)
            limits = values.limits
        else:
            colormap, limits = diverging_colormap_3d(values.scale)
        self._coarse = CoarseActivation(values, values.volume)
        explanation = flat.metadata[EXPLANATION_KEY]
        self.layer_3d = self._add(
            self._coarse.activation(),
            name=map_name(explanation, in_3d=True),
            colormap=colormap,
            contrast_limits=limits,
            rendering="translucent",
            interpolation3d="linear",
            metadata={"neutral": values.neutral, EXPLANATION_KEY: explanation},
            **placement(self._coarse.volume),
        )

    def _remove(self, layer: Image | None) -> None:
        viewer = self._viewer()
        if layer is not None and viewer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def _forget(self, event: Any) -> None:
        if event.value not in self.layers:
            return
        self._guard.release(event.value)
        if event.value is self.layer:
            self.layer = None
        else:
            self.layer_3d = None
        if not self._busy:
            self.changed.emit()

    def _exchange(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is not None:
            self.prepare(viewer.dims.ndisplay)

    def _follow_opacity(self, event: Any) -> None:
        if not self._busy:
            self.opacity = float(event.source.opacity)

    def _follow_visibility(self, event: Any) -> None:
        viewer = self._viewer()
        if self._busy or viewer is None:
            return
        self._wanted = bool(event.source.visible)
        if viewer.dims.ndisplay == 3 and event.source is self.layer and self._wanted:
            # Its volume at full size is never drawn.
            self.prepare(3)
        else:
            self.changed.emit()

    def _tell_put_back(self, layer: Layer, names: frozenset[str]) -> None:
        self._say(_KEPT_PLACE if names & set(PLACE) else _KEPT_COLOURS)


def _set_data(layer: Image, data: Any) -> None:
    layer.data = data
    # napari lets a layer be edited again that has other data.
    layer.editable = False


def map_name(explanation: Explanation, in_3d: bool = False) -> str:
    """``"evidence map, 38 of 40 features"``: what its layer is called."""
    parts = [f"{MAP_NAME} 3D" if in_3d else MAP_NAME, features_kept(explanation)]
    if explanation.scale is None:
        parts.append("no common scale")
    return ", ".join(filter(None, parts))


def features_kept(explanation: Explanation) -> str:
    """``"38 of 40 features"``; empty where all are kept."""
    mask = explanation.mask
    return "" if mask.keep.all() else f"{mask.count} of {mask.keep.size} features"
