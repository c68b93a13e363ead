"""Shards on Dask workers end as those of one process do."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

import napari_ifa.analysis.distributed as distributed
from napari_ifa import samples
from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError, Cancelled
from napari_ifa.models import Classifier, load_classifier
from tests.tiny import tiny_classifier, write_cohort

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier(samples.bundle("clean"), "cpu")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    whole = read_cohort(samples.cohort("clean"), "training")
    return Cohort(whole.name, whole.cases[:16], whole.split)


@pytest.fixture(scope="module")
def alone(classifier, cohort) -> Analysis:
    return analyze(classifier, cohort, shard_size=2, batch_size=2)


def assert_same(one: Analysis, other: Analysis) -> None:
    """Bit for bit and for every target."""
    assert one.held_targets == other.held_targets == ("logit", "others", "runner-up")
    for target in one.held_targets:
        ours, theirs = (a.of_target(target).dataset.drop_attrs(deep=False) for a in (one, other))
        assert ours.identical(theirs), target


def test_two_workers_give_the_same_file_bit_for_bit(classifier, cohort, alone) -> None:
    told: list[tuple[int, int]] = []

    shared = analyze(
        classifier,
        cohort,
        shard_size=2,
        batch_size=2,
        workers=2,
        progress=lambda done, total: told.append((done, total)),
    )

    assert_same(shared, alone)
    assert told[-1] == (16, 16)


def test_a_worker_killed_in_the_middle_is_survived(classifier, cohort, alone) -> None:
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        if not killed:
            workers = [
                child
                for child in psutil.Process().children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
            ]
            workers[0].send_signal(signal.SIGKILL)
            killed.append(workers[0].pid)

    shared = analyze(classifier, cohort, shard_size=2, batch_size=2, workers=2, progress=kill_one)

    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert_same(shared, alone)


def test_a_scheduler_that_is_there_is_used_and_a_stop_ends_it(classifier, cohort, alone) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        shared = analyze(
            classifier, cohort, shard_size=2, batch_size=2, scheduler=cluster.scheduler_address
        )
        assert_same(shared, alone)
        begun = time.monotonic()
        with pytest.raises(Cancelled, match="stopped after 0 of 16"):
            analyze(
                classifier,
                cohort,
                scheduler=cluster.scheduler_address,
                stop=lambda: time.monotonic() > begun + 0.1,
            )


def test_a_scheduler_that_does_not_answer_is_one_sentence(classifier, cohort, monkeypatch) -> None:
    monkeypatch.setattr(distributed, "_TIMEOUT", 1)

    with pytest.raises(AnalysisError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        analyze(classifier, cohort, scheduler="tcp://127.0.0.1:9")
    for address in ("nonsense://x", "nonsense"):
        with pytest.raises(AnalysisError, match=f"No Dask scheduler answers at {address} "):
            analyze(classifier, cohort, scheduler=address)


def test_a_model_that_is_no_bundles_cannot_be_shared(tmp_path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, [([1.0] * 8, 0)]))

    with pytest.raises(AnalysisError) as caught:
        analyze(tiny_classifier(), cohort, workers=2)
    assert caught.value.kind is AnalysisProblem.NO_BUNDLE


def test_workers_and_a_scheduler_are_not_given_together(classifier, cohort) -> None:
    with pytest.raises(AnalysisError) as caught:
        analyze(classifier, cohort, workers=2, scheduler="tcp://127.0.0.1:9")
    assert caught.value.kind is AnalysisProblem.TWO_WAYS_TO_SHARE
    with pytest.raises(AnalysisError) as caught:
        analyze(classifier, cohort, workers=0)
    assert caught.value.kind is AnalysisProblem.NO_WORKER
    assert caught.value.facts["workers"] == 0
