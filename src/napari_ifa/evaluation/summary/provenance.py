"""What sections were made from: the command, the model, and the cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from napari_ifa.analysis.identity import IDENTITY, differing
from napari_ifa.analysis.scale import ScaleChoice
from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.models.targets import LOGIT

Command = Literal["evaluate", "findings", "report"]
Provenance = Mapping[str, str]

#: What must be equal for two results to be of one model and method.
_SAME = (*(f"model_{key.replace(' ', '_')}" for key in IDENTITY), "method")
#: Characters of a weights' hash that tell one model from another in a sentence.
_HASH = 12


def provenance_of(
    command: Command,
    analysis: Analysis,
    other: Analysis | None = None,
    top: float | None = None,
) -> dict[str, str]:
    """The command, the model's identity, the method, and the cohorts of the analyses.

    ``cohort_…`` is of the analysis and ``other_cohort_…`` of the second one; each is a name, a
    split (empty for all) and the SHA-256 of the list.

    Parameters
    ----------
    top : share of the features that count as principal, where the command takes one.
    """
    attributes = analysis.dataset.attrs
    entries = {"command": str(command), "model_name": str(attributes.get("model_name", ""))}
    entries["target"] = analysis.target
    # What an earlier analysis does not say stays unsaid.
    entries |= {key: str(attributes[key]) for key in _SAME if key in attributes}
    for prefix, one in (("", analysis), ("other_", other)):
        if one is not None:
            for name in ("cohort_name", "cohort_split", "cohort_sha256"):
                entries[prefix + name] = str(one.dataset.attrs.get(name, ""))
    return entries | ({} if top is None else {"top": f"{100 * top:g} %"})


def evaluated_on(cohort: Cohort, choice: ScaleChoice) -> dict[str, str]:
    """What `provenance_of` an evaluation has besides: the cohort, and how the scale is made."""
    return {
        "evaluated_cohort_name": cohort.name,
        "evaluated_cohort_split": cohort.split or "",
        "evaluated_cohort_sha256": cohort.manifest_sha256(),
        "basis": choice.basis,
        "scale": choice.form,
        "scope": choice.scope,
    }


def check_provenance(
    provenance: Provenance, command: Command, analysis: Analysis, folder: str
) -> None:
    """Refuse results of another command, model or method; those that do not say pass.

    Raises
    ------
    AnalysisMismatchError
        Names the folder, and what differs.
    """
    if not provenance:
        return
    written_by = provenance.get("command", "")
    if written_by != command:
        raise AnalysisMismatchError(
            EvaluationProblem.OTHER_COMMAND, folder=folder, found=written_by[:20], command=command
        )
    expected = provenance_of(command, analysis)
    compared = provenance.get("target", LOGIT)
    if compared != analysis.target:
        raise AnalysisMismatchError(
            EvaluationProblem.OTHER_TARGET,
            folder=folder,
            found=compared[:40],
            expected=analysis.target,
            command=command,
        )
    different = differing(provenance, expected)
    if provenance.get("method") != expected.get("method"):
        different.append("method")
    if different:
        raise AnalysisMismatchError(
            EvaluationProblem.OTHER_MODEL,
            folder=folder,
            different=", ".join(different),
            command=command,
        )


def made_from(provenance: Provenance, report: Analysis | None = None) -> str:
    """One or two sentences of the cohorts; empty where nothing is known of them.

    Parameters
    ----------
    report : the analysis that the results stand beside; told where theirs is of other cases.
    """
    if not provenance:
        return ""
    own = _cohort(provenance, "")
    top = f", top {provenance['top']}" if "top" in provenance else ""
    if provenance.get("command") == "evaluate":
        settings = f"basis {provenance.get('basis', '')}{top}"
        if provenance.get("scale", "paper") != "paper":
            settings = f"{provenance['scale']} scale, {settings}"
        if provenance.get("scope", "class") != "class":
            settings += ", one scale for all classes"
        told = f"Evaluated on {_cohort(provenance, 'evaluated_')}, {settings}; scale and features"
        told += f" from the analysis of {own}."
    elif "other_cohort_name" in provenance:
        told = f"Of {own} against {_cohort(provenance, 'other_')}{top}."
    else:
        told = f"Of {own}{top}."
    if report is not None and provenance.get("cohort_sha256") != str(
        report.dataset.attrs.get("cohort_sha256", "")
    ):
        told += " Their analysis is of other cases than the report's."
    return told


def made_by(provenance: Provenance) -> str:
    """One sentence of the model and method; empty where nothing is known of them."""
    if not provenance.get("model_weights"):
        return ""
    name = provenance.get("model_name")
    target = provenance.get("target", LOGIT)
    compared = "" if target == LOGIT else f", each class compared with: {target}"
    return (
        f"Model {f'“{name}”' if name else 'without a name'} (SHA-256 of its weights"
        f" {provenance['model_weights'][:_HASH]}), layer {provenance.get('model_layer', '')},"
        f" method {provenance.get('method', '')}{compared}."
    )


def _cohort(provenance: Provenance, prefix: str) -> str:
    name, split = (provenance.get(f"{prefix}cohort_{key}", "") for key in ("name", "split"))
    return f"{name or 'a cohort without a name'}, {f'split {split}' if split else 'all splits'}"
