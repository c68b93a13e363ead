"""The functions that napari.yaml names. Nothing here loads torch, and Qt only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_ifa.analysis.store import Basis
    from napari_ifa.volumes import Series

LayerData = tuple[Any, dict[str, Any], str]
#: What npe2 takes for "read, and there is nothing to add".
_NOTHING: list[Any] = [(None,)]


# ------------------------------------------------------------------------ reader


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """napari's way in, for .nii, .nii.gz, .dcm and folders; None for what is not there."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_studies if paths and all(Path(p).exists() for p in paths) else None


def read_studies(path: str | Sequence[str]) -> list[LayerData]:
    """Layer data of each study; of a folder with several series the one with most images.

    The other series of the folder are offered in the Study panel. Many images of one series that
    are dropped together come as one study.

    Raises
    ------
    UnsupportedStudyError
        With the reason why it is not opened.
    """
    paths = [path] if isinstance(path, str) else list(path)
    layers: list[LayerData] = []
    for one in paths:
        if not _is_open(Path(one), layers):
            layers.append(_read_study(Path(one)))
    return layers or _NOTHING


def _read_study(path: Path) -> LayerData:
    from napari_ifa.errors import UnsupportedStudyError
    from napari_ifa.viewer.scene import image_layer_data
    from napari_ifa.volumes import list_series, read_volume

    found = list_series(path)
    able = [series for series in found if series.unsupported is None]
    if not able:
        raise UnsupportedStudyError(str(found[0].unsupported))
    largest = max(able, key=lambda series: series.image_count)
    return image_layer_data(read_volume(largest), largest, tuple(found))


def _is_open(path: Path, layers: list[LayerData]) -> bool:
    """Whether a file belongs to a series of several files that is open or has just been read."""
    import napari

    from napari_ifa.viewer.scene import SERIES_KEY

    viewer = napari.current_viewer()
    shown = [layer.metadata for layer in viewer.layers] if viewer is not None else []
    for metadata in [*shown, *(attributes["metadata"] for _, attributes, _ in layers)]:
        series: Series | None = metadata.get(SERIES_KEY)
        if series is not None and len(series.files) > 1 and path.absolute() in series.files:
            return True
    return False


# ----------------------------------------------------------------------- samples


def sample_bright_lesion() -> list[LayerData]:
    """A head with a bright lesion."""
    return [_read_study(sample_path("clean", "bright lesion"))]


def sample_dark_lesion() -> list[LayerData]:
    """A head with a dark lesion."""
    return [_read_study(sample_path("clean", "dark lesion"))]


def sample_healthy() -> list[LayerData]:
    """A head without a lesion."""
    return [_read_study(sample_path("clean", "healthy"))]


def sample_confounded() -> list[LayerData]:
    """A head whose scanner marker, outside the head, gives the class away."""
    return [_read_study(sample_path("confounded", "bright lesion"))]


def sample_dicom() -> list[LayerData]:
    """A head with a bright lesion as a DICOM series."""
    from napari_ifa import samples

    return [_read_study(samples.dicom_series())]


def sample_path(version: str, class_name: str) -> Path:
    """The first test case of a class in the ``"clean"`` or ``"confounded"`` sample cohort."""
    import json

    from napari_ifa import samples

    datalist = Path(samples.cohort(version))
    content = json.loads(datalist.read_text("utf-8"))
    names = content["labels"]
    case = next(c for c in content["test"] if names[str(c["label"])] == class_name)
    return datalist.parent / case["image"]


# ------------------------------------------------------------------------ window


def open_viewer(
    study: str | Path | None = None,
    bundle: str | Path | None = None,
    analysis: str | Path | None = None,
    basis: Basis = "voxels",
    show: bool = True,
    wait: bool = False,
) -> napari.Viewer:
    """A napari window with all panels, opening what is given.

    ``basis`` is the common scale's; ``wait`` runs Qt's event loop until the window is closed.
    """
    import napari

    from napari_ifa.viewer.workspace import workspace_of

    viewer = napari.Viewer(title="napari-ifa", show=show, show_welcome_screen=False)
    workspace = workspace_of(viewer)
    workspace.dock_all()
    workspace.session.choose_basis(basis)
    if bundle is not None:
        workspace.session.load_bundle(bundle)
    if analysis is not None:
        workspace.session.load_analysis(analysis)
    if study is not None:
        workspace.session.open_path(study)
    if wait:
        napari.run()
    return viewer
