"""What tells the images of one series apart, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from napari_ifa.reading.dicom.header.frames import Frame, Traits

_IN_WORDS = {
    "M": "magnitude",
    "P": "phase",
    "R": "real",
    "I": "imaginary",
    "IR": "real",
    "PHASE MAP": "phase",
    "FIELD_MAP": "field map",
}


def labels(parts: Sequence[tuple[Frame, ...]], names: Sequence[str]) -> list[str]:
    """What tells each part apart, in words; numbered where that is not enough.

    ``names`` are what is known of the parts beside their traits; empty where that is nothing.
    """
    traits = [[frame.traits for frame in part] for part in parts]
    words: list[list[str]] = [[name] if name else [] for name in names]
    for describe in _DESCRIPTIONS:
        if len({tuple(word) for word in words}) == len(parts):
            break
        described = [{describe(trait) for trait in part} for part in traits]
        if all(len(texts) == 1 for texts in described):
            texts = [next(iter(texts)) for texts in described]
            if len(set(texts)) > 1:
                for word, text in zip(words, texts, strict=True):
                    word += [text] if text and text not in word else []
    kinds = _different_words([part[0].traits.image_type for part in parts])
    if len(set(kinds)) > 1 and len({tuple(word) for word in words}) < len(set(kinds)):
        words = [[kind, *word] if kind else word for kind, word in zip(kinds, words, strict=True)]
    joined = [", ".join(word) for word in words]
    total = Counter(joined)
    number: Counter[str] = Counter()
    labelled = []
    for text in joined:
        number[text] += 1
        count = f"{number[text]} of {total[text]}" if total[text] > 1 else ""
        labelled.append(", ".join(filter(None, (text, f"image {count}" if count else ""))))
    return labelled


def _different_words(types: Sequence[tuple[str, ...]]) -> list[str]:
    common = set(types[0]).intersection(*map(set, types[1:]))
    return [" ".join(word.lower() for word in kind if word not in common) for kind in types]


def _kind(traits: Traits) -> str:
    """The complex component that an image type names, in words."""
    return next((_IN_WORDS[word] for word in traits.image_type if word in _IN_WORDS), "")


def _component(traits: Traits) -> str:
    return (
        traits.complex_image_component.lower()
        if traits.complex_image_component not in ("", "MIXED")
        else ""
    )


def _segment(traits: Traits) -> str:
    return (
        ""
        if traits.referenced_segment_number is None
        else f"segment {traits.referenced_segment_number}"
    )


def _echo(traits: Traits) -> str:
    return f"echo {traits.echo_time:g} ms" if traits.echo_time else ""


def _echo_number(traits: Traits) -> str:
    return f"echo {traits.echo_number}" if traits.echo_number is not None else ""


def _inversion(traits: Traits) -> str:
    return f"inversion {traits.inversion_time:g} ms" if traits.inversion_time else ""


def _b_value(traits: Traits) -> str:
    return "" if traits.diffusion_b_value is None else f"b {traits.diffusion_b_value:g}"


def _cardiac(traits: Traits) -> str:
    return (
        ""
        if traits.nominal_percentage_of_cardiac_phase is None
        else f"cardiac phase {traits.nominal_percentage_of_cardiac_phase:g} %"
    )


def _respiratory(traits: Traits) -> str:
    phase = traits.nominal_percentage_of_respiratory_phase
    return "" if phase is None else f"respiratory phase {phase:g} %"


def _patient_position(traits: Traits) -> str:
    return f"patient position {traits.patient_position}" if traits.patient_position else ""


def _flip(traits: Traits) -> str:
    return f"flip angle {traits.flip_angle:g}°" if traits.flip_angle else ""


def _voltage(traits: Traits) -> str:
    return f"{traits.kvp:g} kV" if traits.kvp else ""


def _kernel(traits: Traits) -> str:
    return f"kernel {traits.convolution_kernel}" if traits.convolution_kernel else ""


def _thickness(traits: Traits) -> str:
    return f"{traits.slice_thickness:g} mm thick" if traits.slice_thickness else ""


_DESCRIPTIONS = (
    _kind,
    _component,
    _segment,
    _echo,
    _echo_number,
    _inversion,
    _flip,
    _voltage,
    _kernel,
    _thickness,
    _patient_position,
    _b_value,
    _cardiac,
    _respiratory,
)
