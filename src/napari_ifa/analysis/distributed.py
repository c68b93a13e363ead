"""Shards of an analysis on Dask workers: processes of this machine, or a cluster's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from typing import TYPE_CHECKING

from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import Shard
from napari_ifa.analysis.shard_run import PassOptions, ShardTask, compute_shard, seen
from napari_ifa.cohorts.batches import read_ahead
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, BundleError
from napari_ifa.models.bundle import load_classifier
from napari_ifa.models.classifier import BundleSource, Classifier
from napari_ifa.progress import Stop, check_stop

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds that a scheduler has to answer.
_TIMEOUT = 15
#: Seconds that a computer has to take a connection.
_CONNECTING = 3
#: Seconds between two looks at whether the work was stopped.
_LOOK = 0.3
#: Shards that are submitted, for each thread of the workers: one runs, one waits.
_AHEAD = 2
#: A terminal's Ctrl-C goes to the workers too; it is for the one who closes them.
_IGNORE_INTERRUPT = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"


def computed_by_workers(
    classifier: Classifier,
    tasks: Sequence[ShardTask],
    options: PassOptions,
    workers: int | None,
    scheduler: str | None,
    advance: Callable[[int], None],
    stop: Stop | None,
) -> Iterator[Shard]:
    """The tasks' shards as they are finished, in any order.

    A worker that dies is replaced, and its shards are computed again.

    Raises
    ------
    AnalysisError
        The model is of no bundle, the scheduler does not answer, or workers keep dying.
    Cancelled
        ``stop`` returned True.
    """
    source = _checked_source(classifier, workers, scheduler)
    if not tasks:
        return
    with ExitStack() as stack:
        client = _connected(stack, workers, scheduler)
        threads = max(1, (os.cpu_count() or 1) // workers) if workers else None
        waiting = list(reversed(tasks))
        running: dict[Future, ShardTask] = {}
        stack.callback(lambda: client.cancel(list(running), force=True))
        while waiting or running:
            for _ in range(_free_places(client, running, len(waiting))):
                task = waiting.pop()
                future = client.submit(
                    _shard_on_worker,
                    source,
                    classifier.target_layer,
                    classifier.identity(),
                    task,
                    options,
                    threads,
                    pure=False,
                )
                running[future] = task
            for future in _finished(client, running, stop):
                task = running.pop(future)
                shard = _result(future, scheduler)
                advance(len(task.cases))
                yield shard


def _checked_source(
    classifier: Classifier, workers: int | None, scheduler: str | None
) -> BundleSource:
    if workers is not None and scheduler is not None:
        raise AnalysisError(AnalysisProblem.TWO_WAYS_TO_SHARE)
    if workers is not None and workers < 1:
        raise AnalysisError(AnalysisProblem.NO_WORKER, workers=workers)
    if classifier.source is None:
        raise AnalysisError(AnalysisProblem.NO_BUNDLE)
    return classifier.source


def _connected(stack: ExitStack, workers: int | None, scheduler: str | None) -> Client:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise AnalysisError(AnalysisProblem.NO_DASK) from error
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs="CRITICAL",
            preload=_IGNORE_INTERRUPT,
        )
        return stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
    unanswered = AnalysisError(AnalysisProblem.NO_SCHEDULER, scheduler=scheduler, seconds=_TIMEOUT)
    # Dask would take a minute over a word that is no address.
    if ":" not in scheduler or not _listens(scheduler):
        raise unanswered
    try:
        client = Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise unanswered from error
    return stack.enter_context(client)


def _listens(scheduler: str) -> bool:
    """Whether anything takes a connection at a TCP address; others are left to Dask.

    Dask itself tries again and again until its time is over.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    try:
        kind, place = parse_address(scheduler)
        if kind not in ("tcp", "tls"):
            return True
        host, port = parse_host_port(place)
        with socket.create_connection((host, port), _CONNECTING):
            return True
    except (OSError, ValueError, TypeError):
        return False


def _free_places(client: Client, running: Mapping[Future, ShardTask], waiting: int) -> int:
    """How many more shards to submit: results wait in the workers' memory until they are taken."""
    try:
        threads = sum(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise AnalysisError(AnalysisProblem.SCHEDULER_LOST) from error
    return min(waiting, max(0, max(1, threads) * _AHEAD - len(running)))


def _finished(
    client: Client, running: Mapping[Future, ShardTask], stop: Stop | None
) -> list[Future]:
    """Those that are done, as soon as there is one."""
    from distributed import wait

    while True:
        check_stop(stop, "The analysis")
        if client.status != "running":
            raise AnalysisError(AnalysisProblem.SCHEDULER_LOST)
        try:
            with client.as_current():
                found = wait(list(running), timeout=_LOOK, return_when="FIRST_COMPLETED")
            return list(found.done)
        except TimeoutError:
            continue


def _result(future: Future, scheduler: str | None) -> Shard:
    from concurrent.futures import CancelledError

    from distributed.scheduler import KilledWorker

    try:
        shard: Shard = future.result()
    except KilledWorker as error:
        raise AnalysisError(AnalysisProblem.WORKERS_DIE) from error
    except CancelledError as error:
        raise AnalysisError(AnalysisProblem.SCHEDULER_LOST) from error
    except BundleError as error:
        where = f"A worker of {scheduler}" if scheduler else "A worker"
        raise AnalysisError(
            AnalysisProblem.WORKER_WITHOUT_MODEL, where=where, error=error
        ) from error
    return shard


def _shard_on_worker(
    source: BundleSource,
    layer: str,
    identity: Mapping[str, str],
    task: ShardTask,
    options: PassOptions,
    threads: int | None,
) -> Shard:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    for _ in range(2):
        # A network that is cut at its layer is for one thread at a time.
        classifier = _classifier(source, layer, threading.get_ident())
        if classifier.identity() == identity:
            break
        # The worker may be older than the bundle's last change.
        _classifier.cache_clear()
    else:
        raise AnalysisMismatchError(AnalysisProblem.OTHER_BUNDLE)
    inputs = read_ahead(classifier, zip(task.positions, task.cases, strict=True), seen)
    with closing(inputs):
        return compute_shard(classifier, task, inputs, options)


@lru_cache(maxsize=4)
def _classifier(source: BundleSource, layer: str, thread: int) -> Classifier:
    """The model, loaded once in every thread of a worker."""
    return load_classifier(
        source.folder,
        source.device,
        layer,
        source.trust,
        output_activation=source.output_activation,
    )
