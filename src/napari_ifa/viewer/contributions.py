"""The functions that napari.yaml names. Nothing here loads torch, and Qt only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_ifa.models.answers import ToldActivation

LayerData = tuple[Any, dict[str, Any], str]
#: What npe2 takes for "read, and there is nothing to add".
_NOTHING: list[Any] = [(None,)]


# ------------------------------------------------------------------------ reader


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """napari's way in for what napari.yaml names; None for what is not there, or not ours.

    A name without a suffix says nothing, so such a file is looked into.
    """
    from napari_ifa.viewer.state.study_files import holds_a_study

    paths = [Path(one) for one in _listed(path)]
    if not paths or not all(one.exists() for one in paths):
        return None
    nameless = [one for one in paths if one.is_file() and not one.suffix]
    if len(nameless) == len(paths) and not holds_a_study(paths):
        return None
    return read_studies


def read_studies(path: str | Sequence[str]) -> list[LayerData]:
    """Hand the files to the Study panel of napari's window; without a window, read them here.

    The panel lists what there is to choose and reads beside the window, so that no layer comes
    back from here. What napari brings one by one, as the files of a drop, is opened together.

    Raises
    ------
    UnsupportedStudyError
        Without a window: why it is not opened, or what there is to choose from.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return [_read_study([Path(one) for one in _listed(path)])]
    from napari_ifa.viewer.docks import dock_study
    from napari_ifa.viewer.workspace import workspace_of

    dock_study(viewer)
    workspace_of(viewer).hand_over(_listed(path))
    return _NOTHING


def _listed(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _read_study(paths: list[Path]) -> LayerData:
    from napari_ifa.reading import list_series, read_volume
    from napari_ifa.reading.choice import choose
    from napari_ifa.viewer.scene.study_layer import image_layer_data

    series = choose(list_series(paths))
    return image_layer_data(read_volume(series), series)


# ----------------------------------------------------------------------- samples


def sample_bright_lesion() -> list[LayerData]:
    """A head with a bright lesion."""
    return [_read_study([sample_path("clean", "bright lesion")])]


def sample_dark_lesion() -> list[LayerData]:
    """A head with a dark lesion."""
    return [_read_study([sample_path("clean", "dark lesion")])]


def sample_healthy() -> list[LayerData]:
    """A head without a lesion."""
    return [_read_study([sample_path("clean", "healthy")])]


def sample_confounded() -> list[LayerData]:
    """A head whose scanner marker, outside the head, gives the class away."""
    return [_read_study([sample_path("confounded", "bright lesion")])]


def sample_dicom() -> list[LayerData]:
    """A head with a bright lesion as a DICOM series."""
    from napari_ifa import samples

    return [_read_study([samples.dicom_series()])]


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
    show: bool = True,
    wait: bool = False,
    activation: ToldActivation | None = None,
    layer: str | None = None,
    device: str | None = None,
    trust: bool = False,
) -> napari.Viewer:
    """A napari window with all panels, opening what is given.

    ``wait`` runs Qt's event loop until the window is closed;
    ``activation`` says how the model's outputs become probabilities, where its bundle does not;
    ``layer``, ``device`` and ``trust`` are those of ``load_classifier``.
    """
    import napari

    from napari_ifa.viewer.docks import dock_all
    from napari_ifa.viewer.workspace import workspace_of

    viewer = napari.Viewer(title="napari-ifa", show=show, show_welcome_screen=False)
    workspace = workspace_of(viewer)
    dock_all(viewer)
    if bundle is not None:
        workspace.session.models.load(bundle, trust, activation, layer=layer, device=device)
    if analysis is not None:
        workspace.session.analyses.load(analysis)
    if study is not None:
        workspace.session.open_path(study)
    if wait:
        napari.run()
    return viewer
