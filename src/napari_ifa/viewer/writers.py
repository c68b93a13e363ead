"""File > Save Selected Layer: the functions that napari.yaml names for it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ifa.errors import ExistingOutputError, IfaError
from napari_ifa.viewer.scene.study_layer import EXPLANATION_KEY, VOLUME_KEY
from napari_ifa.viewer.state.exporting import NIFTI, PARAMETRIC_MAP, PICTURES, Shown

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation


class LayerProblem(Enum):
    """Why a layer is not saved."""

    NO_EXPLANATION = (
        "This layer is not an explanation; select the layer 'evidence map' and save that one, or"
        " choose another file type."
    )


def write_nifti_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """An explanation, or the study itself, as NIfTI on the source's grid.

    Raises
    ------
    IfaError
        Where the layer is neither, or the file cannot be written.
    """
    volume = attributes.get("metadata", {}).get(VOLUME_KEY)
    if volume is not None:
        from napari_ifa.export import write_nifti

        return [str(write_nifti(volume, Path(path), overwrite=True))]
    explanation = _explanation(attributes)
    return _strings(NIFTI.write(explanation, Path(path), Shown()))


def write_parametric_map_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """An explanation as a DICOM Parametric Map.

    Raises
    ------
    IfaError
        Where the layer is no explanation, or the file cannot be written.
    """
    explanation = _explanation(attributes)
    return _strings(PARAMETRIC_MAP.write(explanation, Path(path), Shown()))


def write_pictures_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """An explanation on the image, as shown now, as a DICOM series in a new folder.

    Raises
    ------
    ExistingOutputError
        The folder holds something already.
    IfaError
        Where the layer is no explanation, or the folder cannot be written.
    """
    explanation = _explanation(attributes)
    folder = Path(path)
    # Unlike for a file, napari's dialog asks nothing.
    if folder.is_dir() and any(folder.iterdir()):
        raise ExistingOutputError(folder)
    shown = _shown(explanation, float(attributes.get("opacity", Shown().opacity)))
    return _strings(PICTURES.write(explanation, folder, shown))


def _explanation(attributes: dict[str, Any]) -> Explanation:
    explanation: Explanation | None = attributes.get("metadata", {}).get(EXPLANATION_KEY)
    if explanation is None:
        raise IfaError(LayerProblem.NO_EXPLANATION)
    return explanation


def _shown(explanation: Explanation, opacity: float) -> Shown:
    """With the window of the study on show; with the image's own where another is shown."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return Shown(None, opacity)
    from napari_ifa.viewer.workspace import workspace_of

    workspace = workspace_of(viewer)
    is_on_show = workspace.session.volume is explanation.volume
    return Shown(workspace.scene.window if is_on_show else None, opacity)


def _strings(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]
