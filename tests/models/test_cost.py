"""A bundle that asks for too much is refused in one sentence, before anything of it is made."""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from napari_ifa.errors import BundleError, ExplanationError, IfaError
from napari_ifa.models import load_classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
from napari_ifa.models.problems import BundleProblem as Problem
from napari_ifa.models.problems import PreprocessingProblem
from napari_ifa.models.settings_file import canonical, read_settings
from napari_ifa.models.weights import read_weights
from napari_ifa.reading import read_volume
from tests.hostile.bundles import NETWORKS, hostile_bundles
from tests.problems import refused

#: More are tried with NAPARI_IFA_HOSTILE_BUNDLES=500.
COUNT = int(os.environ.get("NAPARI_IFA_HOSTILE_BUNDLES", "40"))
#: Of the processor; a refusal takes some tenths, and several times that where cores are shared.
SECONDS = 5.0
BYTES = 500e6


class Spent:
    seconds = 0.0
    growth = 0


@contextmanager
def spending() -> Iterator[Spent]:
    """Processor time of this thread, and how far the process's memory rose above what it had."""
    spent, over = Spent(), threading.Event()
    process = psutil.Process()
    before = process.memory_info().rss

    def look() -> None:
        while not over.wait(0.005):
            spent.growth = max(spent.growth, process.memory_info().rss - before)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start = time.thread_time()
    try:
        yield spent
    finally:
        spent.seconds = time.thread_time() - start
        over.set()
        watcher.join()


def test_hostile_bundles_are_refused_at_once(tmp_path: Path) -> None:
    failures, refused = [], 0
    for number, (name, folder) in enumerate(hostile_bundles(tmp_path, seed=11, count=COUNT)):
        reason = ""
        with spending() as spent:
            try:
                load_classifier(folder, device="cpu")
            except IfaError as error:
                reason = str(error)
                refused += 1
            except Exception as error:
                reason = f"\n{type(error)}: {error}"
        # The first one brings the imports.
        slow = number > 0 and spent.seconds > SECONDS
        if slow or spent.growth > BYTES or "\n" in reason or len(reason) > 700:
            failures.append((name, f"{spent.seconds:.2f} s, {spent.growth / 1e6:.0f} MB", reason))
    assert failures == []
    # Some are harmless: a text as the table of class names, which are then numbered.
    assert refused > 0.8 * COUNT


def test_the_shared_hostile_bundles_are_refused_at_once(shared_cases: Path) -> None:
    for trust in (False, True):
        with spending() as spent, refused(BundleError, Problem.TOO_MANY_ENTRIES, most=50_000):
            load_classifier(shared_cases / "bundles" / "bundle_laughs", trust=trust)
        assert spent.seconds < SECONDS
        assert spent.growth < BYTES
    with refused(BundleError, Problem.ARGUMENT_TOO_LARGE, found=10**9):
        load_classifier(shared_cases / "bundles" / "bundle_manyblocks")


def test_a_network_that_grows_past_its_weights_is_stopped(tmp_path: Path) -> None:
    """By small numbers, each of which is possible: their loops, and the sizes of their layers."""
    ((_, folder),) = hostile_bundles(tmp_path, seed=1, count=1)
    for change in ({"block_config": [5000]}, {"init_features": 100_000, "block_config": [300, 4]}):
        config = json.dumps(
            {"network_def": NETWORKS[0] | change, "preprocessing": {"_target_": "Compose"}}
        )
        (folder / "configs" / "inference.json").write_text(config)
        with spending() as spent, refused(BundleError, Problem.NETWORK_TOO_LARGE):
            load_classifier(folder, device="cpu")
        assert spent.seconds < SECONDS
        assert spent.growth < BYTES


@pytest.mark.parametrize(
    "made", [bytearray, torch.FloatTensor, lambda n: [None] * (n // 100)], ids=["b", "t", "l"]
)
def test_a_pickle_that_makes_much_of_little_is_refused(made: Any, tmp_path: Path) -> None:
    class Asks:
        def __reduce__(self) -> tuple[Any, ...]:
            return made, (10**9,)

    path = tmp_path / "model.pt"
    content = made(10**9) if made not in (bytearray, torch.FloatTensor) else Asks()
    torch.save({"weight": torch.zeros(1), "other": content}, path)
    with spending() as spent, refused(BundleError, Problem.WEIGHTS_HOLD_MORE):
        read_weights(path)
    assert spent.growth < BYTES


def test_weights_that_unpack_to_far_more_than_they_are_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(50_000_000))
    with refused(BundleError, Problem.WEIGHTS_UNPACK):
        read_weights(path)


def test_weights_in_the_old_format_and_with_attributes_are_read(tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    tensor.note = "an attribute"
    for new in (True, False):
        torch.save({"state_dict": {"module.a": tensor}, "epoch": 3}, tmp_path / "model.pt",
                   _use_new_zipfile_serialization=new)  # fmt: skip
        state = read_weights(tmp_path / "model.pt").state
        assert list(state) == ["a"]
        assert torch.equal(state["a"], torch.arange(3.0))


def test_an_image_that_no_memory_holds_is_not_begun(tmp_path: Path) -> None:
    import nibabel
    import numpy as np
    from monai.transforms import Compose, EnsureChannelFirst, Spacing

    nibabel.save(
        nibabel.Nifti1Image(np.ones((20, 20, 20), np.float32), np.eye(4)), tmp_path / "i.nii"
    )
    chain = Compose([OpenedImage({}), EnsureChannelFirst(), Spacing(pixdim=(0.001,) * 3)])
    with spending() as spent, refused(ExplanationError, PreprocessingProblem.TOO_LARGE):
        Preprocessing.from_built(chain)(read_volume(tmp_path / "i.nii"))
    assert spent.growth < BYTES


def test_a_yaml_file_may_repeat_itself_within_reason(tmp_path: Path) -> None:
    path = tmp_path / "inference.yaml"
    path.write_text("size: &s [8, 8, 8]\na: {<<: {x: 1}, size: *s}\nb: [*s, *s]\n1: one\n")

    content = read_settings(path)

    assert content["a"] == {"x": 1, "size": [8, 8, 8]}
    assert content["b"] == [[8, 8, 8], [8, 8, 8]]
    assert canonical(content) == canonical(dict(reversed(content.items())))
