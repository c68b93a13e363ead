from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ifa.analysis import Analysis, analyze, assembly
from napari_ifa.analysis.shard import Shard
from napari_ifa.cohorts import read_cohort
from napari_ifa.cohorts.skipped import SkippedCase
from tests.tiny import tiny_classifier, write_cohort

CASES = 17


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory):
    rng = np.random.default_rng(6)
    labels = [0, 1, None]
    cases = [(rng.normal(size=8).tolist(), labels[n % 3]) for n in range(CASES)]
    return read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), cases), "training")


@pytest.fixture(scope="module")
def whole(cohort) -> Analysis:
    return analyze(tiny_classifier(), cohort, shard_size=CASES, batch_size=CASES)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(shard=st.integers(1, CASES + 3), batch=st.integers(1, CASES), loaders=st.integers(1, 4))
def test_shards_and_batches_of_any_size_are_the_whole(shard, batch, loaders, cohort, whole) -> None:
    made = analyze(tiny_classifier(), cohort, shard_size=shard, batch_size=batch, loaders=loaders)

    for target in whole.held_targets:
        found, expected = made.of_target(target).dataset, whole.of_target(target).dataset
        for name, variable in expected.variables.items():
            if variable.dtype.kind in "iu":
                assert found[name].values.tobytes() == variable.values.tobytes(), name
            elif variable.dtype.kind == "f":
                np.testing.assert_allclose(
                    found[name], variable, rtol=1e-6, atol=1e-9, err_msg=name
                )
        assert found["case"].values.tolist() == expected["case"].values.tolist()


@settings(max_examples=6, deadline=None, derandomize=True)
@given(random=st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_rounding_only(random, cohort, whole) -> None:
    shuffled = replace(cohort, cases=tuple(random.sample(cohort.cases, CASES)))

    found = analyze(tiny_classifier(), shuffled, shard_size=5, batch_size=3).dataset

    assert found.attrs["cohort_sha256"] == whole.dataset.attrs["cohort_sha256"]
    for name in ("importance_all", "importance_true", "variance_all", "variance_true"):
        np.testing.assert_allclose(found[name], whole.dataset[name], rtol=1e-6, err_msg=name)
    assert found["voxel_count"].values.tobytes() == whole.dataset["voxel_count"].values.tobytes()
    same_order = found.sel(case=whole.dataset["case"])
    np.testing.assert_allclose(same_order["logits"], whole.dataset["logits"], rtol=1e-6)


def test_rows_written_in_many_blocks_are_those_written_in_one(
    cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, often = (
        _analysed_in_blocks(cohort, bytes_of_a_block, monkeypatch)
        for bytes_of_a_block in (2**26, 1)
    )
    for name, variable in once.dataset.variables.items():
        found = often.dataset.variables[name].values
        np.testing.assert_array_equal(found, variable.values, err_msg=str(name))


def _analysed_in_blocks(cohort, size: int, monkeypatch: pytest.MonkeyPatch) -> Analysis:
    monkeypatch.setattr(assembly, "_BLOCK_BYTES", size)
    return analyze(tiny_classifier(), cohort, shard_size=5)


def test_a_shard_comes_back_from_its_file(cohort, tmp_path: Path) -> None:
    analyze(tiny_classifier(), cohort, shard_size=CASES, resume_dir=tmp_path)
    shard = Shard.load(tmp_path / "shard_000000.npz")

    shard.save(tmp_path / "again.npz")
    again = Shard.load(tmp_path / "again.npz")

    for name, column in vars(shard.cases.rows).items():
        assert vars(again.cases.rows)[name].tobytes() == column.tobytes(), name
    assert list(again.counted.targets) == ["logit", "others"]
    for target, sums in shard.counted.targets.items():
        same = again.counted.targets[target]
        for name, column in vars(shard.cases.targets[target]).items():
            assert vars(again.cases.targets[target])[name].tobytes() == column.tobytes(), name
        for name in ("bins", "counts", "minimum", "maximum", "not_finite"):
            one, other = (getattr(found.distribution, name) for found in (sums, same))
            assert one.tobytes() == other.tobytes(), name
        assert same.distribution.totals.tolist() == sums.distribution.totals.tolist()
        assert same.distribution.squares.tolist() == sums.distribution.squares.tolist()
        for name in ("average", "deviations", "positive", "cases"):
            for which in ("all", "true", "correct"):
                one, other = (getattr(getattr(found, which), name) for found in (sums, same))
                assert one.tobytes() == other.tobytes(), (which, name)


def test_a_shard_of_skipped_cases_alone_comes_back(tmp_path: Path) -> None:
    skipped = (SkippedCase(9, "i", "It is damaged."), SkippedCase(10, "j", "It is no image."))
    shard = Shard(4, None, None, None, skipped)

    shard.save(tmp_path / "shard.npz")
    again = Shard.load(tmp_path / "shard.npz")

    assert (again.number, again.counted, again.cases) == (4, None, None)
    assert again.skipped == shard.skipped
