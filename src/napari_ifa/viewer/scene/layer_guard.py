"""Properties of a layer that say what its picture means, and that nothing but the program sets.

napari's layer controls, keys, menus, linked layers and scripts can set every property of every
layer. What is guarded here is put back within the same event, so that no other picture is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from napari.layers import Layer

#: Where a layer lies. A layer that cannot be edited has no transform mode.
PLACE = ("affine", "scale", "translate", "rotate", "shear", "units", "axis_labels", "editable")
#: Which colour a value has, and which values of the data are drawn.
COLOURS = (
    "contrast_limits_range",
    "contrast_limits",
    "auto_contrast",
    "gamma",
    "colormap",
    "blending",
    "interpolation2d",
    "interpolation3d",
    "projection_mode",
    "rendering",
    "attenuation",
    "iso_threshold",
    "depiction",
    "custom_interpolation_kernel_2d",
)
DATA = ("data",)
#: Set to what they are already, these send no event.
_SILENT = ("contrast_limits_range", "projection_mode", "units", "axis_labels", "editable")
#: Times in a row that a property is put back against something that sets it again at once.
_MOST_TRIES = 3
#: Seconds in which the same is said only once: a drag of a slider sets a property many times.
_SAID_ONCE_IN = 2.0


class _WhenTheLoopRuns(QObject):
    """Calls something in the window's thread, whichever thread asks for it."""

    asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.asked.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def _call(self, call: Callable[[], None]) -> None:
        call()


@dataclass(eq=False)
class _Guarded:
    values: dict[str, Any]
    slots: dict[str, Callable[..., None]] = field(default_factory=dict)
    restoring: bool = False
    #: What was put back since the event loop last ran.
    touched: set[str] = field(default_factory=set)
    tries: int = 0
    lost: set[str] = field(default_factory=set)
    said: frozenset[str] = frozenset()
    said_at: float = 0.0


class LayerGuard:
    """Keeps guarded properties of layers as they are, and tells what somebody tried to change.

    Parameters
    ----------
    put_back : called with the layer and the names of the properties, once the event loop runs.
    lost : the same, where something sets a property again as often as it is put back, so that
        the guard has given it up.
    """

    def __init__(
        self,
        put_back: Callable[[Layer, frozenset[str]], None],
        lost: Callable[[Layer, frozenset[str]], None],
    ) -> None:
        self._put_back, self._lost = put_back, lost
        # A timer of Qt would never run where a script sets something from a thread of its own.
        self._later = _WhenTheLoopRuns()
        self._guarded: dict[Layer, _Guarded] = {}

    def watch(self, layer: Layer, properties: Iterable[str]) -> None:
        """Keep these properties of a layer as they are now, those that it has."""
        self.release(layer)
        names = [name for name in properties if hasattr(layer, name)]
        guarded = _Guarded({name: _value(layer, name) for name in names})
        self._guarded[layer] = guarded
        for name in names:

            def slot(event: Any = None) -> None:
                self._restore(layer, guarded)

            guarded.slots[name] = slot
            getattr(layer.events, name).connect(slot)

    def release(self, layer: Layer) -> None:
        """Leave a layer to whoever wants to change it."""
        guarded = self._guarded.pop(layer, None)
        if guarded is not None:
            for name, slot in guarded.slots.items():
                getattr(layer.events, name).disconnect(slot)

    @contextmanager
    def changing(self, layer: Layer) -> Generator[None, None, None]:
        """Let the program itself set properties, which are kept as they are afterwards."""
        guarded = self._guarded.get(layer)
        if guarded is None or guarded.restoring:
            yield
            return
        guarded.restoring, guarded.tries = True, 0
        lost, guarded.lost = guarded.lost, set()
        held: dict[str, Any] = {}
        try:
            for name in _changed(layer, guarded):
                setattr(layer, name, guarded.values[name])
            # What another hand still holds is not taken for what the program wants.
            held = {name: _value(layer, name) for name in _changed(layer, guarded)}
            yield
        finally:
            guarded.restoring = False
            for name in guarded.values:
                value = _value(layer, name)
                if name not in held or not _same(value, held[name]):
                    guarded.values[name] = value
                elif name in lost:
                    guarded.lost.add(name)
        self._restore(layer, guarded)

    def holds(self, layer: Layer, properties: Iterable[str]) -> bool:
        """Whether these properties, which are guarded, are as the program has set them."""
        guarded = self._guarded.get(layer)
        return guarded is not None and guarded.lost.isdisjoint(properties)

    # ------------------------------------------------------------------ inside

    def _restore(self, layer: Layer, guarded: _Guarded) -> None:
        if guarded.restoring:
            return
        changed = _changed(layer, guarded)
        if not changed:
            return
        from napari.experimental import unlink_layers

        # Otherwise what is put back here would be set on the layers that are linked with this one.
        unlink_layers([layer])
        guarded.restoring = True
        try:
            # More than once: limits are cut to their range, and other data make a layer editable.
            for _ in range(3):
                for name in _changed(layer, guarded):
                    setattr(layer, name, guarded.values[name])
        finally:
            guarded.restoring = False
        if not guarded.touched:
            self._later.asked.emit(lambda: self._tell(layer, guarded))
        guarded.touched.update(changed)

    def _tell(self, layer: Layer, guarded: _Guarded) -> None:
        """Let napari's controls show what holds again, and say what has been put back."""
        if self._guarded.get(layer) is not guarded:
            return
        touched, guarded.touched = frozenset(guarded.touched), set()
        again = _changed(layer, guarded)
        guarded.tries = guarded.tries + 1 if again else 0
        if again and guarded.tries >= _MOST_TRIES:
            guarded.lost.update(again)
            self._lost(layer, frozenset(again))
            return
        if again:
            self._restore(layer, guarded)
            return
        guarded.restoring = True
        try:
            # A control does not listen while it sets a property itself.
            for name in touched.difference(DATA):
                setattr(layer, name, guarded.values[name])
                if name in _SILENT:
                    getattr(layer.events, name)()
            for name in _changed(layer, guarded):
                setattr(layer, name, guarded.values[name])
        finally:
            guarded.restoring = False
        now = time.monotonic()
        if touched != guarded.said or now - guarded.said_at > _SAID_ONCE_IN:
            guarded.said, guarded.said_at = touched, now
            self._put_back(layer, touched)


def _changed(layer: Layer, guarded: _Guarded) -> list[str]:
    return [
        name
        for name, kept in guarded.values.items()
        if name not in guarded.lost and not _same(_value(layer, name), kept)
    ]


def _value(layer: Layer, name: str) -> Any:
    value = getattr(layer, name)
    if name == "affine":
        value = value.affine_matrix
    # napari changes some of its arrays in place.
    return value.copy() if isinstance(value, np.ndarray) and name not in DATA else value


def _same(value: Any, kept: Any) -> bool:
    if value is kept:
        return True
    if isinstance(kept, np.ndarray):
        return np.shape(value) == kept.shape and bool(np.all(np.equal(value, kept)))
    if isinstance(kept, (list, tuple)):
        return tuple(value) == tuple(kept)
    # Of everything else only the very object, as of a colormap, or an equal number or word.
    return isinstance(kept, (str, int, float)) and bool(value == kept)
