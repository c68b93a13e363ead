"""Long work: progress, cancel, replacement, order, one sentence for what goes wrong."""

from __future__ import annotations

import threading
import time

import pytest

from napari_ifa.errors import Cancelled, IfaError, UnsupportedStudyError
from napari_ifa.viewer.panels.panel import JobBars
from napari_ifa.viewer.state.jobs import Jobs


@pytest.fixture
def jobs(qtbot):
    jobs = Jobs()
    yield jobs
    jobs.close()


class Outcome:
    """What a job reports."""

    def __init__(self):
        self.values, self.errors = [], []

    @property
    def ended(self):
        return bool(self.values or self.errors)


def until_stopped(progress, stop):
    """Work without end that does as it is told."""
    for step in range(10_000):
        if stop():
            raise Cancelled("stopped")
        progress(step, 10_000)
        time.sleep(0.005)


def test_result_arrives_in_the_windows_thread(jobs, qtbot):
    arrived = []
    jobs.start(
        "Adding",
        lambda progress, stop: (1 + 1, threading.current_thread()),
        lambda value: arrived.append((*value, threading.current_thread())),
        arrived.append,
        key="add",
    )
    qtbot.waitUntil(lambda: bool(arrived))
    value, worker, receiver = arrived[0]
    assert value == 2
    assert worker is not threading.main_thread()
    assert receiver is threading.main_thread()


def test_cancel_stops_the_work(jobs, qtbot):
    outcome = Outcome()
    jobs.start("Analysing", until_stopped, outcome.values.append, outcome.errors.append, key="a")
    job = jobs.running[0]
    qtbot.waitUntil(lambda: job.steps[0] > 2)
    jobs.cancel(job)
    qtbot.waitUntil(lambda: outcome.ended)
    assert isinstance(outcome.errors[0], Cancelled)
    assert not job.thread.is_alive()
    assert job.steps[0] < 9_000


def test_a_new_request_replaces_the_old_one(jobs, qtbot):
    first, second = Outcome(), Outcome()
    jobs.start("Old", until_stopped, first.values.append, first.errors.append, key="explain")
    jobs.start(
        "New",
        lambda progress, stop: "new",
        second.values.append,
        second.errors.append,
        key="explain",
    )
    qtbot.waitUntil(lambda: second.ended)
    assert second.values == ["new"]
    assert not first.ended


def test_one_lane_keeps_the_order_and_another_does_not_wait(jobs, qtbot):
    order = []
    gate = threading.Event()

    def wait_for_gate(progress, stop):
        gate.wait(5)
        return "first"

    jobs.start("1", wait_for_gate, order.append, order.append, key="1")
    jobs.start("2", lambda p, s: "second", order.append, order.append, key="2")
    jobs.start("3", lambda p, s: "beside", order.append, order.append, key="3", lane="other")
    qtbot.waitUntil(lambda: order == ["beside"])
    gate.set()
    qtbot.waitUntil(lambda: len(order) == 3)
    assert order == ["beside", "first", "second"]


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (UnsupportedStudyError("Series 3: no position."), "Series 3: no position."),
        (ZeroDivisionError("secret"), "Reading failed unexpectedly (ZeroDivisionError)."),
        (
            MemoryError(),
            "There is not enough memory to finish: Reading; close other images and programs and"
            " try again, or use a smaller image.",
        ),
    ],
)
def test_what_goes_wrong_becomes_one_sentence(jobs, qtbot, raised, sentence):
    outcome = Outcome()

    def work(progress, stop):
        raise raised

    jobs.start("Reading", work, outcome.values.append, outcome.errors.append, key="read")
    qtbot.waitUntil(lambda: outcome.ended)
    assert isinstance(outcome.errors[0], IfaError)
    assert str(outcome.errors[0]) == sentence
    assert not jobs.busy


def test_bar_shows_progress_and_its_button_cancels(jobs, qtbot):
    bars = JobBars(jobs, ("main",))
    qtbot.addWidget(bars)
    outcome = Outcome()
    jobs.start("Analysing", until_stopped, outcome.values.append, outcome.errors.append, key="a")
    job = jobs.running[0]
    qtbot.waitUntil(lambda: job in bars.rows)
    row = bars.rows[job]
    qtbot.waitUntil(lambda: row.bar.value() > 2)
    assert row.bar.maximum() == 10_000
    qtbot.waitUntil(lambda: "left" in row.label.text(), timeout=5000)
    row.cancel.click()
    qtbot.waitUntil(lambda: outcome.ended)
    assert not bars.rows
    assert bars.isHidden()


def test_a_short_job_shows_no_bar(jobs, qtbot):
    bars = JobBars(jobs, ("main",))
    qtbot.addWidget(bars)
    outcome = Outcome()
    shown = []
    jobs.changed.connect(lambda: shown.append(len(bars.rows)))
    jobs.start("Short", lambda p, s: 1, outcome.values.append, outcome.errors.append, key="s")
    qtbot.waitUntil(lambda: outcome.ended)
    qtbot.wait(350)
    assert not any(shown)
    assert not bars.rows


def test_bars_of_another_lane_stand_elsewhere(jobs, qtbot):
    bars = JobBars(jobs, ("study",))
    qtbot.addWidget(bars)
    outcome = Outcome()
    jobs.start("Long", until_stopped, outcome.values.append, outcome.errors.append, key="a")
    qtbot.wait(400)
    assert not bars.rows


def test_closing_ends_everything_and_reports_nothing(jobs, qtbot):
    outcome = Outcome()
    jobs.start("Analysing", until_stopped, outcome.values.append, outcome.errors.append, key="a")
    thread = jobs.running[0].thread
    jobs.close()
    assert not thread.is_alive()
    qtbot.wait(50)
    assert not outcome.ended
