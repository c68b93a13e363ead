"""What an explanation leaves behind: maps as NIfTI, a table, a picture."""

from __future__ import annotations

import re
from pathlib import Path

from napari_ifa.analysis import Explanation
from napari_ifa.analysis.figures import comparison_picture, save_picture
from napari_ifa.tables import Row, write_table
from napari_ifa.volumes import write_nifti

__all__ = ["Row", "prediction_rows", "write_explanation", "write_table"]


def write_explanation(explanation: Explanation, folder: Path, stem: str = "") -> list[Path]:
    """Write one explanation's files and return their paths.

    ``[stem_]class_activation_CLASS.nii.gz`` in logits and, with an analysis,
    ``[stem_]s_cam_CLASS.nii.gz`` on the source's grid, a picture, and a table as CSV and JSON that
    also says by which model, method, features and scale. Maps of chosen features are called
    ``fs_class_activation`` and ``fs_s_cam``, and the features stand in the name.
    """
    name = _file_part(explanation.class_names[explanation.class_idx])
    kind = ""
    if not explanation.mask.keep.all():
        kind = "fs_"
        name += f"_{_file_part(explanation.mask.name)}"
    prefix = f"{stem}_" if stem else ""
    written = [folder / f"{prefix}{kind}class_activation_{name}.nii.gz"]
    write_nifti(explanation.class_activation, written[0])
    if explanation.scale is not None:
        written.append(folder / f"{prefix}{kind}s_cam_{name}.nii.gz")
        write_nifti(explanation.s_cam, written[-1])
        written.append(folder / f"{prefix}{kind}explanation_{name}.png")
        title = f"p({explanation.class_names[explanation.class_idx]}) = "
        title += f"{explanation.masked_probabilities[explanation.class_idx]:.2f}"
        title += f"\nfeatures: {explanation.mask.name}"
        save_picture(comparison_picture([explanation], [title]), written[-1])
    written += write_table(
        prediction_rows(explanation), folder / f"{prefix}{kind}prediction_{name}"
    )
    return written


def prediction_rows(explanation: Explanation) -> list[Row]:
    """The model's answer per class, from all features and from the kept ones, and its origin."""
    classifier, scale = explanation.case.classifier, explanation.scale
    made_with = {
        "model": classifier.name,
        "weights_sha256": classifier.weights_sha256,
        "layer": classifier.target_layer,
        "method": explanation.case.activation.method,
        "scale_basis": scale.basis if scale else "",
        "scale_scope": scale.scope if scale else "",
        "scale_low": f"P{scale.low:g} = {scale.p_low:g}" if scale else "",
        "scale_high": f"P{scale.high:g} = {scale.p_high:g}" if scale else "",
        "purpose": "research, not for primary diagnosis",
    }
    return [
        {
            "class": name,
            "explained": index == explanation.class_idx,
            "logit": float(explanation.logits[index]),
            "probability": float(explanation.probabilities[index]),
            "features": explanation.mask.name,
            "features_kept": explanation.mask.count,
            "masked_logit": float(explanation.masked_logits[index]),
            "masked_probability": float(explanation.masked_probabilities[index]),
            **made_with,
        }
        for index, name in enumerate(explanation.class_names)
    ]


def _file_part(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").lower() or "class"
