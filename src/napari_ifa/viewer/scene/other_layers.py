"""Layers of a person's own beside the study and its map, and what has to be said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ifa.viewer.scene.study_layer import (
    EXPLANATION_KEY,
    VOLUME_KEY,
    studies_on_show,
    without_html,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

#: Key of a layer's metadata that says what of ours it was made of.
_MADE_OF_KEY = "napari_ifa_made_of"
_MADE_OF_MAP, _MADE_OF_STUDY = "map", "study"


def disown(layer: Layer) -> None:
    """Mark what napari has made of the study or the map: it follows neither from now on.

    Without their keys in its metadata nothing takes it for the study or saves it as the map.
    """
    explanation = layer.metadata.pop(EXPLANATION_KEY, None)
    volume = layer.metadata.pop(VOLUME_KEY, None)
    if explanation is not None:
        layer.metadata[_MADE_OF_KEY] = _MADE_OF_MAP
        kept = f"{explanation.mask.count} of {explanation.mask.keep.size} features"
        name = explanation.class_names[explanation.class_idx]
        layer.name = without_html(f"{layer.name} (fixed: {name}, {kept})")
    elif volume is not None:
        layer.metadata[_MADE_OF_KEY] = _MADE_OF_STUDY


def remarks(viewer: napari.Viewer) -> list[str]:
    """What the layers on show that are a person's own could be mistaken for."""
    from napari.layers import Image

    visible = [layer for layer in viewer.layers if layer.visible]
    said = []
    if any(layer.metadata.get(_MADE_OF_KEY) == _MADE_OF_MAP for layer in visible):
        said.append("with a copy of a map, which stays as it was")
    placed = any(volume.source.placed for volume in studies_on_show(viewer))
    # An image of pixels lies among a study's millimetres without being in them.
    if placed and any(isinstance(layer, Image) and _in_pixels(layer) for layer in visible):
        said.append("with an image that has no place in the patient")
    if placed and any(_is_unplaced_labels(layer) for layer in visible):
        said.append("with labels that have no place in the patient")
    return said


def _is_unplaced_labels(layer: Layer) -> bool:
    """Of labels, which a script may have put in place without naming the unit."""
    from napari.layers import Labels

    moved = layer.affine.affine_matrix - np.eye(layer.ndim + 1)
    return (
        isinstance(layer, Labels)
        and _in_pixels(layer)
        and np.allclose(layer.scale, 1)
        and np.allclose(layer.translate, 0)
        and np.allclose(moved, 0)
    )


def _in_pixels(layer: Layer) -> bool:
    return any(str(unit) == "pixel" for unit in layer.units)
