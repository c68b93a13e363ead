"""A study as a layer: its place, its greys, its name, and the keys of what its metadata hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_ifa.viewer.scene.grey import grey_colormap

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_ifa.reading import Series
    from napari_ifa.volumes import Volume

AXIS_LABELS = ("I", "P", "L")
UNITS = ("mm", "mm", "mm")
#: Of an image that lies nowhere in the patient and whose pixels have no size.
UNPLACED_LABELS = ("image", "row", "column")
UNPLACED_UNITS = ("pixel", "pixel", "pixel")
#: Key of a layer's metadata under which its Volume lies, and an overlay's Explanation.
VOLUME_KEY = "napari_ifa_volume"
EXPLANATION_KEY = "napari_ifa_explanation"


def image_layer_data(
    volume: Volume, series: Series | None = None
) -> tuple[Any, dict[str, Any], str]:
    """A study as napari layer data: true spacing and place, no patient data in the metadata.

    ``series`` : what it was read from, which may be one of several images of its series.
    """
    from napari_ifa.volumes.windowing import default_window

    attributes: dict[str, Any] = {
        "name": without_html(layer_name(volume, series)),
        "metadata": {
            VOLUME_KEY: volume,
            "affine_lps_mm": volume.affine.tolist(),
            "orientation": volume.plane,
            "notes": list(volume.report.notes),
        },
        **placement(volume),
    }
    if volume.is_colour:
        attributes["rgb"] = True
    else:
        window = default_window(volume)
        attributes |= {
            "rgb": False,
            "colormap": grey_colormap(window, volume.inverted),
            "contrast_limits": window.limits,
            "interpolation2d": "linear",
            "rendering": "attenuated_mip",
        }
    return volume.array, attributes, "image"


def layer_name(volume: Volume, series: Series | None = None) -> str:
    """``"MR B0 map, field map"``: modality, series description and part."""
    name = " ".join(filter(None, (volume.modality, volume.description)))
    part = "" if series is None else series.part
    return ", ".join(filter(None, (name, part))) or "image"


def without_html(name: str) -> str:
    """A layer's name that napari's status bar and tips do not take for HTML."""
    return name.replace("<", "‹").replace(">", "›")


def opened_volume(layer: Layer) -> Volume | None:
    """The study that an image layer is; None for every other layer, and for what was made of one.

    napari copies a layer's metadata to what it makes of it: a copy, a projection, labels.
    """
    volume: Volume | None = layer.metadata.get(VOLUME_KEY)
    return volume if volume is not None and layer.data is volume.array else None


def studies_on_show(viewer: napari.Viewer) -> list[Volume]:
    """The Volumes of the studies that are visible, the uppermost last."""
    visible = [layer.metadata for layer in viewer.layers if layer.visible]
    return [metadata[VOLUME_KEY] for metadata in visible if VOLUME_KEY in metadata]


def patient_on_show(viewer: napari.Viewer) -> bool:
    """Whether a study or a map of one is visible whose images say where the patient's sides are."""
    visible = [layer.metadata for layer in viewer.layers if layer.visible]
    maps = [metadata[EXPLANATION_KEY] for metadata in visible if EXPLANATION_KEY in metadata]
    volumes = [*studies_on_show(viewer), *(explanation.volume for explanation in maps)]
    return bool(volumes) and all(volume.source.placed for volume in volumes)


def placement(volume: Volume) -> dict[str, Any]:
    """Scale, translation, units and axis labels of a layer on a volume's grid."""
    # One layer without units turns units off for all, so every layer gets them.
    placed = volume.source.placed
    return {
        "scale": volume.spacing,
        "translate": volume.translate,
        "units": UNITS if placed else UNPLACED_UNITS,
        "axis_labels": AXIS_LABELS if placed else UNPLACED_LABELS,
    }
