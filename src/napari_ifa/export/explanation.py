"""What an explanation leaves behind: maps as NIfTI and DICOM, a table, a picture."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TypedDict, Unpack

from napari_ifa.analysis import Explanation
from napari_ifa.analysis.colour import diverging_colours
from napari_ifa.analysis.fit.cohort_fit import WITHOUT_COHORT
from napari_ifa.analysis.scale import FEW_CASES
from napari_ifa.disk import whole_folder
from napari_ifa.export import (
    Colouring,
    Provenance,
    write_nifti,
    write_parametric_map,
    write_secondary_capture,
)
from napari_ifa.export.picture import comparison_picture, save_picture
from napari_ifa.export.problems import MAKE_ROOM, unwritten_said
from napari_ifa.export.tables import Row, write_table
from napari_ifa.progress import Progress, Stop
from napari_ifa.volumes import Volume, Window

__all__ = [
    "Row",
    "colouring",
    "export_nifti",
    "export_parametric_map",
    "export_secondary_capture",
    "prediction_rows",
    "provenance",
    "write_dicom",
    "write_explanation",
    "write_table",
]


#: Letters in a line of a picture's title.
_TITLE_WIDTH = 40
_RESULTS = "The results cannot be written there"


def write_explanation(explanation: Explanation, folder: Path, stem: str = "") -> list[Path]:
    """Write one explanation's files and return their paths.

    ``[stem_]class_activation_CLASS.nii.gz`` in logits and, with an analysis,
    ``[stem_]s_cam_CLASS.nii.gz`` on the source's grid, a picture, and a table as CSV and JSON that
    also says by which model, method, features and scale. Maps of chosen features are called
    ``fs_class_activation`` and ``fs_s_cam``, and the features stand in the name. All are written,
    or none.

    Raises
    ------
    ExistingOutputError
        There is one of these names already.
    IfaError
        Where the folder cannot be written.
    """
    prefix, name = _names(explanation, stem)
    with unwritten_said(_RESULTS, MAKE_ROOM), whole_folder(folder) as place:
        written = [place / f"{prefix}class_activation_{name}.nii.gz"]
        write_nifti(
            explanation.class_activation,
            written[0],
            description=explanation.class_activation.description,
        )
        if explanation.scale is not None:
            written.append(place / f"{prefix}s_cam_{name}.nii.gz")
            write_nifti(explanation.s_cam, written[-1], description=explanation.s_cam.description)
            written.append(place / f"{prefix}explanation_{name}.png")
            title = f"{_answer(explanation)}\nfeatures: {explanation.mask.name}"
            if explanation.fit is not None:
                title += f"\n{fill(explanation.fit.words, _TITLE_WIDTH)}"
            save_picture(comparison_picture([explanation], [title]), written[-1])
        written += write_table(prediction_rows(explanation), place / f"{prefix}prediction_{name}")
    return [folder / path.name for path in written]


def earlier_maps(folder: Path, class_names: Sequence[str], features: str) -> list[Path]:
    """Maps in a folder that `write_explanation` would replace.

    Parameters
    ----------
    class_names : one of which will be explained.
    features : the mask's name; empty for all features.
    """
    prefix, suffix = ("fs_", f"_{file_part(features)}") if features else ("", "")
    parts = [f"{file_part(name)}{suffix}" for name in class_names]
    names = (
        f"{prefix}{kind}_{part}.{ending}"
        for part in parts
        for kind, ending in (("class_activation", "nii.gz"), ("prediction", "csv"))
    )
    return [folder / name for name in names if (folder / name).exists()]


def export_nifti(
    explanation: Explanation, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write S-CAM, or without a scale the class activation, as NIfTI on the source's grid.

    Raises
    ------
    IfaError
        Where the name does not end in ``.nii`` or ``.nii.gz``, or the file cannot be written.
    """
    shown = _shown_map(explanation)
    return write_nifti(shown, path, description=shown.description, overwrite=overwrite)


class Writing(TypedDict, total=False):
    """What every DICOM export takes beside its own options."""

    overwrite: bool
    progress: Progress | None
    stop: Stop | None


def export_parametric_map(
    explanation: Explanation,
    path: str | os.PathLike[str],
    *,
    compressed: bool = False,
    **writing: Unpack[Writing],
) -> Path:
    """Write S-CAM, or without a scale the class activation, as a DICOM Parametric Map.

    ``compressed`` writes 16-bit integers, a quarter of the size. Errors are those of
    `write_parametric_map`.
    """
    values, origin = _shown_map(explanation), provenance(explanation)
    return write_parametric_map(values, origin, path, compressed=compressed, **writing)


def export_secondary_capture(
    explanation: Explanation,
    folder: str | os.PathLike[str],
    window: Window | None = None,
    opacity: float = 0.75,
    **writing: Unpack[Writing],
) -> list[Path]:
    """Write the overlay as a DICOM series of colour pictures, one file for each slice.

    Errors are those of `write_secondary_capture`.

    Parameters
    ----------
    window : in which the image is shown; that with which it opens by default.
    opacity : of the overlay where the evidence is strongest, 0 to 1.
    """
    values, origin = _shown_map(explanation), provenance(explanation)
    return write_secondary_capture(
        explanation.volume,
        values,
        origin,
        colouring(explanation),
        folder,
        window=window,
        opacity=opacity,
        **writing,
    )


def provenance(explanation: Explanation) -> Provenance:
    """Where the map of an explanation comes from, as its exports say it."""
    classifier, scale, mask = explanation.case.classifier, explanation.scale, explanation.mask
    chosen = not mask.keep.all()
    kind = "class activation" if scale is None else "S-CAM"
    return Provenance(
        kind=f"FS-{kind}" if chosen else kind,
        class_name=explanation.class_names[explanation.class_idx],
        model=classifier.name,
        weights_sha256=classifier.weights_sha256,
        layer=classifier.target_layer,
        method=explanation.case.activation.method,
        features=f"{mask.name} ({mask.count} of {mask.keep.size})" if chosen else "all",
        scale="" if scale is None else scale.words,
        compared_with=explanation.compared_with,
        image=explanation.volume.report.badge,
        fit="" if explanation.fit is None else explanation.fit.words,
    )


def colouring(explanation: Explanation) -> Colouring:
    """The overlay's colours, and what its colour bar marks."""
    scale = explanation.scale
    if scale is None:
        end = explanation.largest
        return Colouring(
            lambda values: diverging_colours(values / end, 0.0),
            (-end, end),
            0.0,
            ((-end, f"{-end:+.2g}"), (end, f"{end:+.2g}")),
            explanation.sides,
        )
    neutral = scale.neutral
    return Colouring(
        lambda values: diverging_colours(values, neutral),
        (-1.0, 1.0),
        neutral,
        scale.marks,
        explanation.sides,
    )


def _shown_map(explanation: Explanation) -> Volume:
    return explanation.class_activation if explanation.scale is None else explanation.s_cam


def write_dicom(
    explanation: Explanation,
    folder: Path,
    stem: str = "",
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[Path]:
    """Write an explanation's DICOM objects, named as `write_explanation` names its files.

    Returns the Parametric Map's file and the folder of the Secondary Capture series; of an image
    that states no place in the patient, such as most X-rays, the latter alone. Both are written, or
    none.

    Raises
    ------
    IfaError
        Where the image does not come from DICOM, or they cannot be written.
    Cancelled
        When ``stop`` says so.
    """
    prefix, name = _names(explanation, stem)
    kind = "class_activation" if explanation.scale is None else "s_cam"
    written = []
    with unwritten_said(_RESULTS, MAKE_ROOM), whole_folder(folder) as place:
        if explanation.volume.source.placed:
            written.append(f"{prefix}{kind}_{name}.dcm")
            export_parametric_map(explanation, place / written[0], stop=stop)
        written.append(f"{prefix}{kind}_{name}_secondary_capture")
        export_secondary_capture(explanation, place / written[-1], progress=progress, stop=stop)
    return [folder / one for one in written]


def scale_notes(explanation: Explanation) -> list[str]:
    """A sentence where the cohort is too small for its scale to be relied on."""
    scale = explanation.scale
    return [scale.precision] if scale is not None and scale.cases < FEW_CASES else []


def prediction_rows(explanation: Explanation) -> list[Row]:
    """The model's answer per class, from all features and from the kept ones, and its origin."""
    classifier, scale = explanation.case.classifier, explanation.scale
    whole, masked = explanation.probabilities, explanation.masked_probabilities
    made_with = {
        "model": classifier.name,
        "weights_sha256": classifier.weights_sha256,
        "layer": classifier.target_layer,
        "method": explanation.case.activation.method,
        "output_activation": classifier.output_activation,
        "notes": " ".join((*explanation.notes, *scale_notes(explanation))),
        **(explanation.fit or WITHOUT_COHORT).as_data(),
        "image": explanation.volume.report.badge,
        "purpose": "research, not for primary diagnosis",
    }
    # Of the class explained alone: every other is compared with others, on a scale of its own.
    of_map = {
        "compared_with": explanation.compared_with,
        "scale_form": scale.form if scale else "",
        "scale_basis": scale.basis if scale else "",
        "scale_scope": scale.scope if scale else "",
        "scale_low": f"{scale.low_name} = {scale.p_low:g}" if scale else "",
        "scale_high": f"{scale.high_name} = {scale.p_high:g}" if scale else "",
    }
    return [
        {
            "class": name,
            "explained": index == explanation.class_idx,
            "logit": float(explanation.logits[index]),
            "probability": None if whole is None else float(whole[index]),
            "features": explanation.mask.name,
            "features_kept": explanation.mask.count,
            "masked_logit": float(explanation.masked_logits[index]),
            "masked_probability": None if masked is None else float(masked[index]),
            **(of_map if index == explanation.class_idx else dict.fromkeys(of_map, "")),
            **made_with,
        }
        for index, name in enumerate(explanation.class_names)
    ]


def _answer(explanation: Explanation) -> str:
    """The class explained with its probability from the kept features, or without one its logit."""
    name, index = explanation.class_names[explanation.class_idx], explanation.class_idx
    if explanation.masked_probabilities is None:
        return f"output({name}) = {explanation.masked_logits[index]:.2f}"
    return f"p({name}) = {explanation.masked_probabilities[index]:.2f}"


def _names(explanation: Explanation, stem: str) -> tuple[str, str]:
    """What a file's name begins and ends with."""
    name = file_part(explanation.class_names[explanation.class_idx])
    prefix = f"{stem}_" if stem else ""
    if not explanation.mask.keep.all():
        prefix += "fs_"
        name += f"_{file_part(explanation.mask.name)}"
    return prefix, name


def file_part(text: str) -> str:
    """A name as part of a file's name on any system: ``"bright_lesion"``."""
    return re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").lower() or "class"
