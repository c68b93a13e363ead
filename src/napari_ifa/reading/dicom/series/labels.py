"""What tells the images of one series apart, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

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
    component = traits.complex_image_component
    return "" if component == "MIXED" else component.lower()


def _said(name: str, words: str, traits: Traits) -> str:
    value = getattr(traits, name)
    return words.format(value) if value or (value == 0 and name in _MAY_BE_ZERO) else ""


#: Traits that say something where they are zero; any other is then not stated.
_MAY_BE_ZERO = {
    *("referenced_segment_number", "echo_number", "diffusion_b_value"),
    *("nominal_percentage_of_cardiac_phase", "nominal_percentage_of_respiratory_phase"),
}
_DESCRIPTIONS = (
    _kind,
    _component,
    partial(_said, "referenced_segment_number", "segment {}"),
    partial(_said, "echo_time", "echo {:g} ms"),
    partial(_said, "echo_number", "echo {}"),
    partial(_said, "inversion_time", "inversion {:g} ms"),
    partial(_said, "flip_angle", "flip angle {:g}°"),
    partial(_said, "kvp", "{:g} kV"),
    partial(_said, "convolution_kernel", "kernel {}"),
    partial(_said, "slice_thickness", "{:g} mm thick"),
    partial(_said, "patient_position", "patient position {}"),
    partial(_said, "diffusion_b_value", "b {:g}"),
    partial(_said, "nominal_percentage_of_cardiac_phase", "cardiac phase {:g} %"),
    partial(_said, "nominal_percentage_of_respiratory_phase", "respiratory phase {:g} %"),
)
