from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from napari_ifa.analysis import Analysis, FeatureMask, analyze
from napari_ifa.cohorts import Case, Cohort, read_cohort
from napari_ifa.cohorts.batches import (
    BatchSize,
    CohortPass,
    ReadCase,
    mask_problems_said,
    read_ahead,
)
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.cohorts.skipped import SkippedCase, most_skipped
from napari_ifa.errors import AnalysisError, Cancelled, CohortError, ExplanationError
from napari_ifa.evaluation import evaluate
from napari_ifa.evaluation.checks.candidate_maps import candidate_maps
from napari_ifa.evaluation.findings import findings
from napari_ifa.evaluation.measures.masked_accuracy import masked_predictions
from napari_ifa.models import Classifier
from napari_ifa.models.preprocessing import Preprocessing
from tests.problems import refused
from tests.tiny import TinyNetwork, tiny_classifier, write_cohort

#: The first voxel of an image that is too large for the network's memory.
HUGE = 77.0


class Narrow(TinyNetwork):
    """Takes 2 × 2 × 2 voxels alone, and lacks memory for images that begin with `HUGE`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2:] != (2, 2, 2):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if (x[:, 0, 0, 0, 0] == HUGE).any():
            raise RuntimeError("CUDA out of memory. Tried to allocate 3.00 GiB")
        return super().forward(x)


def narrow_classifier() -> Classifier:
    return replace(tiny_classifier(), network=Narrow().eval(), weights_sha256="narrow")


def tiny_cohort(folder: Path, count: int) -> Cohort:
    folder.mkdir(exist_ok=True)
    return read_cohort(write_cohort(folder, [([n + 1.0] + [0.5] * 7, 0) for n in range(count)]))


def analysed(classifier: Classifier, cohort: Cohort, analysis: Analysis) -> Sequence[SkippedCase]:
    found = analyze(classifier, cohort, skip_up_to=0.5, batch_size=4)
    places = {case.id: n for n, case in enumerate(cohort.cases)}
    return [SkippedCase(places[name], name, reason) for name, reason in found.skipped]


def in_shards(classifier: Classifier, cohort: Cohort, analysis: Analysis) -> Sequence[SkippedCase]:
    found = analyze(classifier, cohort, skip_up_to=0.5, shard_size=3, loaders=3)
    places = {case.id: n for n, case in enumerate(cohort.cases)}
    return [SkippedCase(places[name], name, reason) for name, reason in found.skipped]


def evaluated(classifier: Classifier, cohort: Cohort, analysis: Analysis) -> Sequence[SkippedCase]:
    return evaluate(classifier, analysis, cohort, skip_up_to=0.5).skipped


def masked(classifier: Classifier, cohort: Cohort, analysis: Analysis) -> Sequence[SkippedCase]:
    masks = [FeatureMask.all(2), FeatureMask.only(2, [0])]
    return masked_predictions(classifier, cohort, masks, skip_up_to=0.5).skipped


def mapped(classifier: Classifier, cohort: Cohort, analysis: Analysis) -> Sequence[SkippedCase]:
    found = findings(analysis)
    return candidate_maps(
        classifier, cohort, found, features=4, cases=len(cohort), skip_up_to=0.5
    ).skipped


@pytest.mark.parametrize("work", [analysed, in_shards, evaluated, masked, mapped])
def test_every_work_skips_the_same_cases_for_the_same_reasons(
    work: Callable[..., Sequence[SkippedCase]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, cohort = narrow_classifier(), tiny_cohort(tmp_path / "cohort", 16)
    analysis = analyze(classifier, cohort)
    cohort.cases[2].path.write_bytes(b"broken")
    save(cohort.cases[6], np.full((3, 2, 2), 5.0))
    save(cohort.cases[9], np.full((2, 2, 2), np.nan))
    save(cohort.cases[12], np.full((2, 2, 2), HUGE))
    whole = Case.read

    def read(case: Case):
        if case.id == "case_4.nii":
            raise MemoryError
        if case.id == "case_14.nii":
            raise KeyError("Doe^Jane 1970")
        return whole(case)

    monkeypatch.setattr(Case, "read", read)

    skipped = work(classifier, cohort, analysis)

    assert [case.position for case in skipped] == [2, 4, 6, 9, 12, 14]
    assert [case.id for case in skipped] == [f"case_{n}.nii" for n in (2, 4, 6, 9, 12, 14)]
    assert not any(case.mask_alone for case in skipped)
    reasons = [case.reason for case in skipped]
    assert "memory to read the image" in reasons[1]
    assert "shapes cannot be multiplied" in reasons[2]
    assert "8 of 8 values" in reasons[3]
    assert "memory for this image" in reasons[4]
    assert reasons[5] == "The image cannot be read: KeyError."
    assert reasons == [case.reason for case in analysed(classifier, cohort, analysis)]


def save(case: Case, values: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.eye(4)), case.path)


def sizes(images: torch.Tensor, cases: list[ReadCase[None]]) -> int:
    assert len(images) == len(cases)
    return len(cases)


def test_a_batch_too_large_for_memory_is_halved_and_later_ones_stay_small(tmp_path: Path) -> None:
    tried: list[int] = []

    def compute(images: torch.Tensor, cases: list[ReadCase[None]]) -> int:
        tried.append(len(cases))
        if len(cases) > 3:
            raise MemoryError
        return len(cases)

    work: CohortPass[None] = CohortPass(
        tiny_classifier(), tiny_cohort(tmp_path, 13), size=BatchSize(8)
    )
    found = list(work.computed(compute))

    assert tried == [8, 4, 2, 2, 4, 2, 2, 2, 2, 1]
    assert [case.position for cases, _ in found for case in cases] == list(range(13))
    assert work.skipped == ()


def test_a_case_that_fails_costs_its_batch_nothing(tmp_path: Path) -> None:
    def compute(images: torch.Tensor, cases: list[ReadCase[None]]) -> int:
        if any(case.position == 5 for case in cases):
            raise ExplanationError("The network cannot take this image.")
        return len(cases)

    told: list[tuple[int, int]] = []
    work: CohortPass[None] = CohortPass(
        tiny_classifier(),
        tiny_cohort(tmp_path, 20),
        size=BatchSize(8),
        progress=lambda *done: told.append(done),
    )
    found = list(work.computed(compute))

    assert [size for _, size in found] == [1] * 7 + [8, 4]
    assert work.skipped == (SkippedCase(5, "case_5.nii", "The network cannot take this image."),)
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_an_error_of_the_program_is_no_case_to_skip(tmp_path: Path) -> None:
    def compute(images: torch.Tensor, cases: list[ReadCase[None]]) -> int:
        raise ZeroDivisionError

    work: CohortPass[None] = CohortPass(tiny_classifier(), tiny_cohort(tmp_path, 2))
    with pytest.raises(ZeroDivisionError):
        list(work.computed(compute))


def test_progress_counts_skipped_cases_to_the_end(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path, 4)
    for n in (0, 3):
        cohort.cases[n].path.write_bytes(b"broken")
    told: list[tuple[int, int]] = []
    work: CohortPass[None] = CohortPass(
        tiny_classifier(),
        cohort,
        size=BatchSize(1),
        skip_up_to=0.5,
        progress=lambda *done: told.append(done),
    )

    list(work.computed(sizes))

    assert told == [(2, 4), (4, 4)]


def test_chosen_cases_keep_their_places_and_the_share_is_of_the_whole(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path, 20)
    cohort.cases[7].path.write_bytes(b"broken")
    work: CohortPass[None] = CohortPass(tiny_classifier(), cohort, positions=[3, 7, 11])

    found = [case.position for cases, _ in work.computed(sizes) for case in cases]

    assert found == [3, 11]
    assert [case.position for case in work.skipped] == [7]


def test_too_many_and_none_are_refused_with_the_first_case(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path, 3)
    for case in cohort.cases:
        case.path.write_bytes(b"broken")
    work: CohortPass[None] = CohortPass(tiny_classifier(), cohort, skip_up_to=0.4)
    kind = CohortProblem.TOO_MANY_SKIPPED
    with refused(CohortError, kind, case="case_0.nii", skipped=2, most=1):
        list(work.computed(sizes))
    work = CohortPass(tiny_classifier(), cohort, skip_up_to=1)
    with refused(CohortError, CohortProblem.NONE_USABLE, case="case_0.nii"):
        list(work.computed(sizes))


def test_a_cohort_without_cases_is_refused_before_any_work() -> None:
    with refused(CohortError, CohortProblem.EMPTY):
        CohortPass(tiny_classifier(), Cohort("empty", ()))


@pytest.mark.parametrize("threads", [1, 4])
def test_cases_come_in_order_and_few_wait(threads: int, tmp_path: Path) -> None:
    begun: list[int] = []
    names: set[str] = set()

    def keep(case: Case, volume, prepared) -> int:
        number = int(case.id.removeprefix("case_").removesuffix(".nii"))
        names.add(threading.current_thread().name)
        time.sleep(0.002 * (number % 3))
        begun.append(number)
        return number

    cohort = tiny_cohort(tmp_path, 30)
    inputs = read_ahead(tiny_classifier(), enumerate(cohort.cases), keep, threads)
    for place, item in enumerate(inputs):
        assert isinstance(item, ReadCase)
        assert (item.position, item.kept) == (place, place)
        assert len(begun) <= place + 1 + threads + 2
    assert len(names) <= threads
    assert threading.current_thread().name not in names


def test_every_thread_has_its_own_preprocessing(tmp_path: Path) -> None:
    used: set[int] = set()
    both = threading.Barrier(2, timeout=20)

    class Watched(Preprocessing):
        def __call__(self, volume):
            used.add(id(self))
            both.wait()
            return super().__call__(volume)

    classifier = tiny_classifier()
    own = Watched(classifier.preprocessing.chain, classifier.preprocessing.image)
    inputs = read_ahead(
        replace(classifier, preprocessing=own), enumerate(tiny_cohort(tmp_path, 2).cases), None, 2
    )

    assert all(isinstance(item, ReadCase) for item in inputs)
    assert len(used) == 2
    assert id(own) not in used


def test_a_stop_ends_the_work_and_the_reading(tmp_path: Path) -> None:
    done: list[int] = []
    work: CohortPass[None] = CohortPass(
        tiny_classifier(),
        tiny_cohort(tmp_path, 30),
        size=BatchSize(2),
        stop=lambda: len(done) >= 2,
    )

    with pytest.raises(Cancelled):
        done.extend(size for _, size in work.computed(sizes))

    assert done == [2, 2]
    assert not [one for one in threading.enumerate() if one.name.startswith("ifa-reader")]


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error"), KeyError("Do")])
def test_a_mask_that_cannot_be_used_leaves_its_case(error: Exception, tmp_path: Path) -> None:
    def keep(case: Case, volume, prepared) -> str:
        if case.id == "case_1.nii":
            with mask_problems_said():
                raise error
        return "kept"

    cases = list(read_ahead(tiny_classifier(), enumerate(tiny_cohort(tmp_path, 3).cases), keep))

    assert [item.position for item in cases] == [0, 1, 1, 2]
    assert isinstance(cases[1], SkippedCase)
    assert cases[1].mask_alone
    assert "lesion mask" in cases[1].reason
    assert "Do" not in cases[1].reason
    assert [item.kept for item in cases if isinstance(item, ReadCase)] == ["kept", None, "kept"]


@pytest.mark.parametrize(
    ("shape", "device", "expected"),
    [
        # 2**20 numbers on a CPU, 2**26 on a GPU, 64 cases at most
        ((1, 64, 64, 64), "cpu", 4),
        ((1, 64, 64, 64), "cuda", 64),
        ((1, 256, 256, 256), "cuda", 4),
        ((3, 224, 224), "cpu", 6),
        ((1, 28, 28), "cpu", 64),
        ((1, 512, 512, 512), "cpu", 1),
    ],
)
def test_a_batch_suits_the_images_and_the_device(shape, device, expected) -> None:
    image = torch.empty(shape, device="meta")
    assert BatchSize().of(image, torch.device(device)) == expected
    assert BatchSize(7).of(image, torch.device(device)) == 7


@pytest.mark.parametrize(
    ("share", "cases", "most"), [(0.05, 19, 0), (0.05, 20, 1), (0.29, 100, 29), (1, 3, 3)]
)
def test_the_share_that_may_be_skipped_is_rounded_down(share, cases, most) -> None:
    assert most_skipped(share, cases) == most


def test_options_that_are_none_are_refused() -> None:
    for share in (-0.1, 1.5, float("nan")):
        with refused(AnalysisError, CohortProblem.NO_SHARE):
            most_skipped(share, 10)
    with refused(AnalysisError, CohortProblem.NO_BATCH, size=0):
        BatchSize(0)
