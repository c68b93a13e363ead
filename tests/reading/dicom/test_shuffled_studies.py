"""Whatever the names and the order of the files, and whatever lies among them: the same images."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from napari_ifa.reading import Series
from napari_ifa.reading.dicom import dicom_series
from napari_ifa.reading.dicom.header.frame_table import read_frames
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.identity import Claims, Patient

ROOT = Path("/study")
ROUNDS = 120


@pytest.fixture
def row(
    tmp_path: Path,
    dicom_slice: Callable[..., Dataset],
    save_dicom: Callable[..., Path],
) -> Frame:
    """One row, from which others are made without a file of their own."""
    rows = read_frames(save_dicom(tmp_path / "row.dcm", dicom_slice(0)))
    assert isinstance(rows, list)
    return replace(rows[0], traits=replace(rows[0].traits, slice_thickness=None))


def study(row: Frame, luck: random.Random, who: Claims) -> list[Frame]:
    """An even stack, some of it missing, once or several times; or with kinds, or passes."""
    slices, step, start = luck.randint(4, 12), luck.choice([1.0, 2.5, 5.0]), luck.uniform(-9, 9)
    lost = {luck.randrange(1, slices - 1)} if luck.random() < 0.2 else set()
    numbered = luck.random() < 0.8
    layout = luck.choice(["plain", "echoes", "times", "phases", "clock"])
    repeats = 1 if layout == "plain" else luck.randint(2, 4)
    frames = []
    for time in range(repeats):
        traits = {
            "plain": {},
            "echoes": {"echo_time": 5.0 + time},
            "times": {"temporal_position_identifier": time + 1},
            "phases": {"nominal_percentage_of_cardiac_phase": 10.0 * time},
            "clock": {"acquisition_time": f"{(23 + time) % 24:02}5930"},
        }[layout]
        for k in range(slices):
            if k in lost:
                continue
            number = len(frames) + 1
            image = replace(
                row.image,
                claims=who,
                sop_instance_uid=f"1.2.{luck.getrandbits(60)}",
                instance_number=number if numbered else None,
                path=ROOT / f"{luck.getrandbits(60)}",
            )
            frames.append(
                replace(
                    row,
                    image=image,
                    image_position_patient=(0.0, 0.0, start + step * k),
                    traits=replace(row.traits, **traits),
                )
            )
    return frames


def images(listed: list[Series]) -> set[tuple[frozenset[int], str]]:
    """What each series consists of, by its rows' own traits, and how it is called."""
    return {
        (frozenset(id(frame.traits) for frame in s.frames), s.part)
        for s in listed
        if not s.alternative
    }


def who(luck: random.Random, number: int, differs: str) -> Claims:
    """The claims of one of two studies, which differ in one thing alone."""
    values: dict[str, dict[str, Any]] = {
        "patient": {"patient": Patient(id=f"P{number}")},
        "name": {"patient": Patient(id="P", name=frozenset({"case", str(number)}))},
        "study": {"study_uid": f"1.5.{number}"},
        "frame": {"frame_of_reference": f"1.6.{number}"},
        "number": {"series_number": number},
    }
    common = {"study_uid": "1.5"} if luck.random() < 0.5 else {}
    return Claims(**{**common, **values[differs]})


@pytest.mark.parametrize("seed", range(4))
def test_names_and_order_of_the_files_mean_nothing(row: Frame, seed: int) -> None:
    luck = random.Random(seed)
    for _ in range(ROUNDS // 4):
        frames = study(row, luck, Claims(Patient(id="P"), "1.5"))
        listed = dicom_series(frames, ROOT)
        again = list(frames)
        luck.shuffle(again)
        paths = [frame.image.path for frame in again]
        luck.shuffle(paths)
        renamed = [
            replace(frame, image=replace(frame.image, path=path))
            for frame, path in zip(again, paths, strict=True)
        ]
        other = dicom_series(renamed, ROOT)
        assert images(other) == images(listed)
        assert {s.key for s in other} == {s.key for s in listed}
        assert [s.part for s in other] == [s.part for s in listed]


@pytest.mark.parametrize("differs", ["patient", "name", "study", "frame", "number"])
def test_two_studies_that_were_mixed_are_given_back(row: Frame, differs: str) -> None:
    luck = random.Random(differs)
    for _ in range(ROUNDS // 5):
        one = study(row, luck, who(luck, 1, differs))
        # Both state their study, or neither: all else is the same.
        stated = replace(who(luck, 2, differs), study_uid=one[0].image.claims.study_uid)
        if differs == "study":
            stated = replace(stated, study_uid="1.5.2")
        two = study(row, luck, stated)
        mixed = [*one, *two]
        luck.shuffle(mixed)
        listed = dicom_series(mixed, ROOT)
        of = {id(f): 1 for f in one} | {id(f): 2 for f in two}
        for series in listed:
            assert len({of[id(frame)] for frame in series.frames}) == 1
        shown = [id(f) for s in listed if not s.alternative for f in s.frames]
        assert sorted(shown) == sorted(of)
        alone = dicom_series(one, ROOT), dicom_series(two, ROOT)
        assert {s.key for s in listed} == {s.key for part in alone for s in part}
        counts = sorted(s.image_count for part in alone for s in part)
        assert sorted(s.image_count for s in listed) == counts
