"""What a file says of an image, compared with what those of the cohort say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from monai.data import MetaTensor

from napari_ifa.analysis.fit.header import Header, HeaderSummary, modality_of
from napari_ifa.reading.picture import picture_volume
from napari_ifa.volumes import GeometryReport, Volume
from napari_ifa.volumes.volume import IPL_IN_LPS, SourceOrder

COHORT = HeaderSummary.of(
    [
        Header("MR", "RAS", 2.0, (4.0, 1.0, 1.0), (160.0, 220.0, 200.0)),
        Header("MR", "RAS", 9.0, (5.0, 1.0, 1.0), (180.0, 240.0, 220.0)),
        Header(),
    ]
)
ALIKE = Header("MR", "RAS", 0.0, (4.5, 1.0, 1.0), (170.0, 230.0, 210.0))


def differing(header: Header, cohort: HeaderSummary = COHORT, stated: str = "") -> list[str]:
    return [word for word, _ in cohort.differences(header, stated)]


def test_a_case_within_the_cohort_has_no_difference():
    assert differing(ALIKE) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"modality": "CT"}, "modality"),
        ({"axes": "LPS"}, "orientation"),
        ({"angle": 40.0}, "orientation"),
        ({"spacing": (8.0, 1.0, 1.0)}, "spacing"),
        ({"spacing": (4.5, 1.0, 0.7)}, "spacing"),
        ({"size": (170.0, 120.0, 210.0)}, "size"),
    ],
)
def test_what_no_case_of_the_cohort_has_is_named(changed, word):
    assert differing(replace(ALIKE, **changed)) == [word]


def test_a_metre_is_written_out():
    whole_body = HeaderSummary.of(
        [Header("CT", "RAS", 0.0, (3.0, 1.0, 1.0), (1725.0, 500.0, 500.0))]
    )
    header = Header("CT", "RAS", 0.0, (3.0, 1.0, 1.0), (999.7, 500.0, 500.0))

    (_, said) = next(whole_body.differences(header))

    assert "1000 mm" in said
    assert "1725 mm" in said


def test_of_a_mixed_cohort_a_few_modalities_are_named():
    mixed = HeaderSummary({f"M{n}": 50 - n for n in range(20)}, {})

    (_, said) = next(mixed.differences(Header("CT")))

    assert said.endswith("M0 or M1 or M2 or M3 or M4 or M5 or one of 14 more.")
    assert not list(mixed.differences(Header("M19")))


@pytest.mark.parametrize(
    "within",
    [{"angle": 23.0}, {"spacing": (6.2, 1.0, 1.0)}, {"size": (130.0, 230.0, 210.0)}],
)
def test_a_little_beyond_the_range_is_no_difference(within):
    assert differing(replace(ALIKE, **within)) == []


def test_a_file_that_says_nothing_is_not_compared():
    assert differing(Header()) == []
    assert differing(ALIKE, HeaderSummary.of([Header(), Header()])) == []


def test_a_cohort_that_says_no_modality_is_that_of_the_model():
    silent = replace(COHORT, modalities={})

    assert differing(replace(ALIKE, modality="CT"), silent, "MRI") == ["modality"]
    assert differing(ALIKE, silent, "MRI") == []
    # A bundle may call it anything.
    assert differing(ALIKE, silent, "T1w and FLAIR") == []
    # What the cohort's files say comes first.
    assert differing(ALIKE, COHORT, "CT") == []


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("MRI", "MR"),
        ("ct", "CT"),
        ("DX", "X-ray"),
        ("CR", "X-ray"),
        ("X-Ray", "X-ray"),
        ("PET", "PT"),
        ("n/a", ""),
        ("OT", ""),
        ("  ", ""),
        ("XA", "XA"),
    ],
)
def test_a_modality_goes_by_one_name(text, term):
    assert modality_of(text) == term


def volume(spacing: float = 2.0, *, placed: bool = True, **report: bool) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = IPL_IN_LPS * spacing
    return Volume(
        np.zeros((10, 20, 30)),
        affine,
        SourceOrder(placed=placed),
        "MR",
        report=GeometryReport(**report),
    )


def seen(image: Volume, spacing: float) -> MetaTensor:
    """The image as a network gets it: axes towards right, anterior, superior, of this spacing."""
    return MetaTensor(np.zeros((1, 30, 20, 10)), affine=np.diag([spacing] * 3 + [1.0]))


def test_the_header_of_an_opened_image():
    header = Header.of(volume(), seen(volume(), 2.0))

    assert header == Header("MR", "RAS", 0.0, (2.0, 2.0, 2.0), (20.0, 40.0, 60.0))


def test_detail_that_the_preprocessing_takes_away_makes_no_difference():
    assert Header.of(volume(0.5), seen(volume(), 4.0)).spacing == (4.0, 4.0, 4.0)
    assert Header.of(volume(6.0), seen(volume(), 4.0)).spacing == (6.0, 6.0, 6.0)


def test_a_turned_input_is_seen_by_its_axes_and_its_angle():
    angle = np.radians(30)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.0, 1.0, 1.0])

    header = Header.of(volume(), MetaTensor(np.zeros((1, 4, 4, 4)), affine=affine))

    assert header.axes == "LAS"
    assert header.angle == pytest.approx(30)


@pytest.mark.parametrize("silent", [volume(placed=False), volume(unverified=True)])
def test_an_image_without_a_place_has_its_modality_alone(silent):
    assert Header.of(silent, seen(silent, 1.0)) == Header("MR")


def test_a_picture_says_nothing():
    picture = picture_volume(np.zeros((8, 8)))

    assert Header.of(picture, MetaTensor(np.zeros((1, 8, 8)), affine=np.eye(4))) == Header()


def test_a_summary_comes_back_from_its_text():
    assert HeaderSummary.from_text(COHORT.as_text()) == COHORT
    assert COHORT.modalities == {"MR": 2}
    assert COHORT.angle == 9.0
    assert COHORT.spacing == ((4.0, 1.0, 1.0), (5.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        "[]",
        "{}",
        "no JSON",
        json.dumps(json.loads(COHORT.as_text()) | {"modalities": {"MR": -1}}),
        json.dumps(json.loads(COHORT.as_text()) | {"axes": "RAS"}),
        json.dumps(json.loads(COHORT.as_text()) | {"angle": float("nan")}),
        json.dumps(json.loads(COHORT.as_text()) | {"spacing": [[1, 1, 1], [1, 1, 0.5]]}),
        json.dumps(json.loads(COHORT.as_text()) | {"size": [[1, 1, -1], [1, 1, 1]]}),
        json.dumps(json.loads(COHORT.as_text()) | {"size": [[1, 1], [1, 1]]}),
        json.dumps(json.loads(COHORT.as_text()) | {"size": 3}),
        json.dumps(json.loads(COHORT.as_text()) | {"size": [[1, 1, 1], [1, 1, 1e300]]}),
        json.dumps(json.loads(COHORT.as_text()) | {"spacing": [[1e-300, 1, 1], [1, 1, 1]]}),
        json.dumps(json.loads(COHORT.as_text()) | {"axes": {"RAS" * 4000: 2}}),
        json.dumps(json.loads(COHORT.as_text()) | {"modalities": {"M" * 4000: 2}}),
        json.dumps(json.loads(COHORT.as_text()) | {"modalities": {"MR": 10**400}}),
    ],
)
def test_a_text_that_is_no_summary_is_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        HeaderSummary.from_text(wrong)
