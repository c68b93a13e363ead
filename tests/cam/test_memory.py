"""Blocks that fit memory: their length, and what happens when they do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import CutNetwork, class_activation, masked_logits, memory
from napari_ifa.cam.memory import NoMemoryError, block_length, in_blocks
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.cam.weighting import StreamedWeights
from napari_ifa.memory import lacks_memory
from tests.problems import refused

CPU = torch.device("cpu")
# What the CPU's allocator says; it has no exception of its own.
CPU_COMPLAINT = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1024 bytes."
# What cuBLAS says, which allocates beside torch.
CUBLAS_COMPLAINT = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


def test_a_block_holds_at_least_one_thing():
    assert block_length(2**20, CPU) == 4
    assert block_length(2**30, CPU) == 1
    assert block_length(0, CPU) == memory.CPU_BLOCK


def test_blocks_of_a_gpu_leave_room_for_what_is_made_of_them(monkeypatch):
    # Free are 5 GiB, and 3 of the 4 that torch keeps: 8 GiB, whose 64th part is 128 MiB.
    for name, value in {
        "mem_get_info": (5 * 2**30, 10 * 2**30),
        "memory_reserved": 4 * 2**30,
        "memory_allocated": 2**30,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    gpu = torch.device("cuda")
    assert memory.block_numbers(gpu) == 2**25
    assert block_length(2**20, gpu) == 32
    # Rows whose peak is known may take a quarter.
    assert memory.rows_that_fit(2**29, gpu) == 4
    assert memory.rows_that_fit(2**33, gpu) == 1


def test_blocks_cover_everything_in_order():
    found = list(in_blocks(7, 3, lambda block: (block.start, block.stop), what="things"))
    assert [result for _, result in found] == [(0, 3), (3, 6), (6, 7)]


def room_for(most):
    """A computation that runs out of memory beyond `most` things at a time."""
    tried = []

    def compute(block):
        tried.append(block.stop - block.start)
        if tried[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return list(range(block.start, block.stop))

    return compute, tried


def test_a_block_that_does_not_fit_is_halved_and_the_length_kept():
    compute, tried = room_for(3)
    found = [thing for _, part in in_blocks(10, 8, compute, what="things") for thing in part]
    assert found == list(range(10))
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_no_room_for_one_is_a_sentence():
    compute, tried = room_for(0)
    with refused(NoMemoryError, Problem.NO_MEMORY_FOR_ONE, what="classes", count=10):
        list(in_blocks(10, 8, compute, what="classes"))
    assert tried == [8, 4, 2, 1]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def fail(block):
        raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes"):
        list(in_blocks(4, 4, fail, what="things"))
    assert lacks_memory(RuntimeError(CPU_COMPLAINT))
    assert lacks_memory(RuntimeError(CUBLAS_COMPLAINT))


def test_a_lack_of_memory_between_the_blocks_is_a_sentence(small_network, images, monkeypatch):
    def full(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(CutNetwork, "constant_jacobian", full)
    with refused(NoMemoryError, Problem.NO_MEMORY, device="cpu"):
        class_activation(small_network(2), images(2), "stage")


class Bounded(nn.Module):
    """Passes its input on, unless more than `rows` come at a time."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def forward(self, x):
        if len(x) > self.rows:
            raise RuntimeError(CPU_COMPLAINT)
        return x


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_batch_that_does_not_fit_is_halved(small_network, images, same, head):
    network, batch = small_network(2, head), images(2, 5)
    expected = class_activation(network, batch, "stage", "pixelwise", "all")
    network.first.append(Bounded(rows=2))
    found = class_activation(network, batch, "stage", "pixelwise", "all")
    same(found.maps(), expected.maps())
    same(found.logits, expected.logits)
    same(found.contributions(), expected.contributions())


def test_one_case_that_does_not_fit_is_a_sentence(small_network, images):
    network = small_network(2)
    network.first.append(Bounded(rows=0))
    with refused(NoMemoryError, Problem.NO_MEMORY_FOR_ONE, what="cases", count=2):
        class_activation(network, images(2, 2), "stage")


def test_classes_whose_gradients_do_not_fit_go_in_smaller_blocks(
    small_network, images, same, monkeypatch
):
    network, batch = small_network(2, "mlp"), images(2, 2)
    expected = class_activation(network, batch, "stage", "pixelwise", "all")
    honest, tried = torch.autograd.grad, []

    def grad(outputs, inputs, vectors, **options):
        if options["is_grads_batched"]:
            tried.append(len(vectors))
            if len(vectors) > 2:
                raise RuntimeError(CPU_COMPLAINT)
        return honest(outputs, inputs, vectors, **options)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    found = class_activation(network, batch, "stage", "pixelwise", [[0, 1, 2], [2, 1, 0]])
    assert tried == [3]  # then one class at a time, which needs no batch
    same(found.maps()[0], expected.maps()[0])
    same(found.maps()[1], expected.maps()[1].flip(0))


def test_masks_that_do_not_fit_go_in_smaller_blocks(small_network, images, same):
    network, batch = small_network(2, "mlp"), images(2, 2)
    expected = masked_logits(network, batch, "stage", torch.eye(6))
    network.head.insert(0, Bounded(rows=5))
    same(masked_logits(network, batch, "stage", torch.eye(6)), expected)


def test_weights_per_voxel_of_many_classes_are_not_held(small_network, images, same, monkeypatch):
    network, batch = small_network(3, "mlp"), images(3, 2)
    held = class_activation(network, batch, "stage", "pixelwise", "all")
    monkeypatch.setattr(memory, "CPU_BLOCK", 64)
    with CutNetwork(network, "stage") as cut:
        streamed = class_activation(cut, batch, method="pixelwise", class_idx="all")
    assert isinstance(streamed.source, StreamedWeights)
    masks = torch.eye(6)[:2]
    same(streamed.maps(), held.maps())
    same(streamed.contributions(), held.contributions())
    same(streamed.maps(masks), held.maps(masks))
    same(streamed.maps(masks[0]), held.maps(masks[0]))
    same(streamed.weighted_features(2), held.weighted_features(2))
    same(streamed.weights, held.weights)
