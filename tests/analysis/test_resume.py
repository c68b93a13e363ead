"""An interrupted analysis goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, Cancelled
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort, write_image

CASES = 11


class PowerCut(Exception):
    pass


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    rng = np.random.default_rng(5)
    cases = [(rng.normal(size=8).tolist(), int(n % 2)) for n in range(CASES)]
    return read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), cases), "training")


@pytest.fixture(scope="module")
def whole(cohort: Cohort) -> Analysis:
    return analyze(tiny_classifier(), cohort, shard_size=3, batch_size=2)


def assert_same(one: Analysis, other: Analysis) -> None:
    """Bit for bit and for every target, all but the time at which they were made."""
    assert one.held_targets == other.held_targets == ("logit", "others")
    for target in one.held_targets:
        ours, theirs = (a.of_target(target).dataset.drop_attrs(deep=False) for a in (one, other))
        assert ours.identical(theirs), target
    different = {k for k, v in one.dataset.attrs.items() if other.dataset.attrs[k] != v}
    assert different <= {"created"}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(at=st.integers(1, CASES - 1))
def test_a_run_cut_short_at_any_case_resumes_to_the_same(at, cohort, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")

    def cut(done: int, total: int) -> None:
        if done >= at:
            raise PowerCut

    with pytest.raises(PowerCut):
        analyze(
            tiny_classifier(), cohort, shard_size=3, batch_size=2, resume_dir=folder, progress=cut
        )
    told: list[int] = []
    resumed = analyze(
        tiny_classifier(),
        cohort,
        shard_size=3,
        batch_size=2,
        resume_dir=folder,
        progress=lambda done, total: told.append(done),
    )

    assert_same(resumed, whole)
    assert told[-1] == CASES


def test_finished_shards_are_not_computed_again(cohort, whole, tmp_path, monkeypatch) -> None:
    analyze(tiny_classifier(), cohort, shard_size=3, batch_size=2, resume_dir=tmp_path)
    (tmp_path / "shard_000001.npz").write_bytes(b"damaged")
    computed: list[int] = []
    import napari_ifa.analysis.run as run

    original = run.compute_shard

    def watched(classifier, task, *others, **options):
        computed.append(task.number)
        return original(classifier, task, *others, **options)

    monkeypatch.setattr(run, "compute_shard", watched)

    resumed = analyze(tiny_classifier(), cohort, shard_size=3, batch_size=2, resume_dir=tmp_path)

    assert computed == [1]
    assert_same(resumed, whole)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from tests.tiny import tiny_classifier
from napari_ifa.analysis import analyze
from napari_ifa.cohorts import read_cohort

def progress(done, total):
    if done >= 7:
        os.kill(os.getpid(), signal.SIGKILL)

analyze(tiny_classifier(), read_cohort({datalist!r}, "training"), shard_size=3, batch_size=2,
        resume_dir={folder!r}, progress=progress)
"""


def test_a_killed_process_leaves_whole_shards(cohort, whole, tmp_path) -> None:
    datalist = str(cohort.cases[0].path.parent / "datalist.json")
    tests = str(Path(__file__).parents[2])
    script = KILLED.format(tests=tests, datalist=datalist, folder=str(tmp_path / "parts"))

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    kept = sorted(file.name for file in (tmp_path / "parts").glob("shard_*"))
    assert kept == ["shard_000000.npz", "shard_000001.npz"]
    resumed = analyze(
        tiny_classifier(), cohort, shard_size=3, batch_size=2, resume_dir=tmp_path / "parts"
    )
    assert_same(resumed, whole)


def test_a_stop_keeps_what_was_finished(cohort, whole, tmp_path) -> None:
    told: list[int] = []
    with pytest.raises(Cancelled, match=f"of {CASES} cases"):
        analyze(
            tiny_classifier(),
            cohort,
            shard_size=3,
            batch_size=2,
            resume_dir=tmp_path,
            progress=lambda done, total: told.append(done),
            stop=lambda: bool(told) and told[-1] >= 5,
        )
    assert (tmp_path / "shard_000000.npz").is_file()
    resumed = analyze(tiny_classifier(), cohort, shard_size=3, batch_size=2, resume_dir=tmp_path)
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({"method": "pixelwise"}, "method"),
        ({"profiles": "none"}, "profiles"),
        ({"shard_size": 4}, "shard size"),
    ],
)
def test_shards_of_another_analysis_are_refused(change, different, cohort, tmp_path) -> None:
    analyze(tiny_classifier(), cohort, shard_size=3, resume_dir=tmp_path)

    with pytest.raises(AnalysisMismatchError) as caught:
        analyze(tiny_classifier(), cohort, resume_dir=tmp_path, **({"shard_size": 3} | change))
    assert caught.value.kind is AnalysisProblem.OTHER_PLAN
    assert caught.value.facts["different"] == [different]


def test_another_model_or_cohort_does_not_go_on(cohort, tmp_path) -> None:
    analyze(tiny_classifier(), cohort, shard_size=3, resume_dir=tmp_path)

    with pytest.raises(AnalysisMismatchError) as caught:
        analyze(tiny_classifier(bent=True), cohort, shard_size=3, resume_dir=tmp_path)
    assert caught.value.kind is AnalysisProblem.OTHER_PLAN
    assert caught.value.facts["different"][0] == "weights"
    fewer = Cohort("tiny", cohort.cases[1:], "training")
    with pytest.raises(AnalysisMismatchError) as caught:
        analyze(tiny_classifier(), fewer, shard_size=3, resume_dir=tmp_path)
    assert caught.value.kind is AnalysisProblem.OTHER_PLAN
    assert caught.value.facts["different"] == ["cohort"]


def test_images_that_changed_are_analysed_again(tmp_path) -> None:
    cases = [([float(n)] * 8, n % 2) for n in range(6)]
    cohort = read_cohort(write_cohort(tmp_path, cases), "training")
    broken = cohort.cases[4].path
    content = broken.read_bytes()
    broken.write_bytes(b"broken")
    parts = tmp_path / "parts"
    first = analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=parts, skip_up_to=0.2)
    assert [name for name, _ in first.skipped] == ["case_4.nii"]

    broken.write_bytes(content)
    write_image(cohort.cases[0].path, [7.0] * 8)
    resumed = analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=parts, skip_up_to=0.2)

    assert_same(resumed, analyze(tiny_classifier(), cohort, shard_size=2, skip_up_to=0.2))
    assert resumed.skipped == ()
    assert resumed.logits[0, 0] == 17.0


def test_a_folder_of_something_else_is_refused(cohort, tmp_path) -> None:
    (tmp_path / "plan.json").write_text("no plan")

    with pytest.raises(AnalysisError) as caught:
        analyze(tiny_classifier(), cohort, resume_dir=tmp_path)
    assert caught.value.kind is AnalysisProblem.NO_PARTS_FOLDER


def test_a_full_disk_is_one_sentence_and_leaves_no_part(cohort, tmp_path, monkeypatch) -> None:
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "savez", full)

    with refused(AnalysisError, AnalysisProblem.FOLDER_NOT_WRITTEN, kept=0) as caught:
        analyze(tiny_classifier(), cohort, resume_dir=tmp_path)
    assert caught.value.facts["reason"].startswith(" (No space left on device: ")
    assert caught.value.facts["reason"].endswith(" free)")
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_a_disk_that_fills_up_keeps_what_was_finished(cohort, tmp_path, monkeypatch) -> None:
    original = np.savez

    def filling(stream, **arrays):
        if int(arrays["number"]) == 2:
            raise OSError(28, os.strerror(28))
        original(stream, **arrays)

    monkeypatch.setattr(np, "savez", filling)

    with refused(AnalysisError, AnalysisProblem.PART_NOT_WRITTEN, kept=2):
        analyze(tiny_classifier(), cohort, shard_size=3, resume_dir=tmp_path)
