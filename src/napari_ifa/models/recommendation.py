"""Which of a network's spatial layers to explain, by what kind of network it is."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

from napari_ifa.models.calling import CONVOLUTIONS, first_tensor
from napari_ifa.models.probing import Call, Probe

# These change no feature in eval mode, or only the grid: the layer before them is the one to name.
_PASSED_OVER = (_DropoutNd, nn.Identity, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)


#: Layers with a path around them that are tried; two forward passes each.
_MOST_TRIED = 12


def recommended_call(probe: Probe) -> tuple[Call, str, str]:
    """The call to recommend, the reason for it, and the reason against those after it."""
    kept = [c for c in probe.candidates if not (c.rearranged or isinstance(c.module, _PASSED_OVER))]
    kept = kept or probe.candidates
    dims = first_tensor(probe.inputs).ndim - 2
    if len(probe.answer) == dims + 2 and math.prod(probe.answer[2:]) > 1:
        return _of_segmentation(probe, kept)
    kept = _towards_the_answer(probe, kept)
    layout = kept[-1].layout
    if layout is not None and layout.first:
        return _of_class_token(probe, kept)
    if layout is not None and not layout.channels_last:
        kept = _without_head(probe, kept)
        kept = probe.reaching(kept) or kept
    best = _last_on_every_path(probe, kept)
    if best is None or best is kept[-1]:
        best = kept[-1]
        return best, _last_of_all(best, probe), f"only pools or passes on the output of {best.name}"
    return (
        best,
        "last layer with a spatial output that every path to the answer goes through",
        f"behind {best.name}, where part of the answer goes around it",
    )


def _last_on_every_path(probe: Probe, kept: list[Call]) -> Call | None:
    """The last layer without a path around it; None where none is found among the last ones."""
    around: list[str] = []
    for call in reversed(kept):
        # What goes around a module goes around its parts.
        if any(call.name.startswith(f"{name}.") for name in around):
            continue
        if len(around) == _MOST_TRIED:
            return None
        if not probe.goes_around(call):
            return call
        around.append(call.name)
    return None


def _without_head(probe: Probe, kept: list[Call]) -> list[Call]:
    """Without a head that answers for every token: its output is the map of the classes already."""
    last, classes = kept[-1], probe.answer[-1] if len(probe.answer) == 2 else None
    head = last.name.partition(".")[0]
    before = [call for call in kept if call.name.partition(".")[0] != head]
    if last.channels != classes or not before or before[-1].channels == classes:
        return kept
    parts = last.module.modules()
    linear = any(isinstance(m, nn.Linear) and m.out_features == classes for m in parts)
    return before if linear else kept


def _towards_the_answer(probe: Probe, kept: list[Call]) -> list[Call]:
    """Of a network with several outputs, the layers that are not only on the way to another one."""
    if not probe.several_outputs or probe.reaching(kept[-1:]):
        return kept
    return probe.reaching(kept) or kept


def _last_of_all(best: Call, probe: Probe) -> str:
    after = probe.calls[probe.calls.index(best) + 1 :]
    following = next((call.name for call in after if not call.handed_on), None)
    return "last layer with a spatial output" + (f", followed by {following}" if following else "")


def _of_class_token(probe: Probe, kept: list[Call]) -> tuple[Call, str, str]:
    """The last block or norm of the residual stream with a gradient on its patch tokens.

    A class token takes part of the answer around every layer, so no layer is on every path.
    """
    width = kept[-1].channels
    stream = [
        call
        for call in kept
        if call.channels == width and (_is_norm(call.module) or any(call.module.children()))
    ] or kept
    reached = probe.reaching(stream)
    best = reached[-1] if reached else _first_norm_of_last_block(stream)
    if best is stream[-1]:
        return best, _last_of_all(best, probe), f"only passes on the output of {best.name}"
    only = "only the class token goes on to the answer"
    return (
        best,
        f"last layer whose patch tokens the answer depends on; behind it {only}",
        (f"behind {best.name}, where {only}"),
    )


def _first_norm_of_last_block(stream: list[Call]) -> Call:
    """What the gradient would say, where there is none (a head that is all zero)."""
    of_blocks: dict[str, list[Call]] = {}
    for call in stream:
        if _is_norm(call.module):
            of_blocks.setdefault(call.name.rpartition(".")[0], []).append(call)
    pairs = [norms for norms in of_blocks.values() if len(norms) > 1]
    layout = stream[-1].layout
    return pairs[-1][0] if pairs and layout is not None and layout.first else stream[-1]


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def _of_segmentation(probe: Probe, kept: list[Call]) -> tuple[Call, str, str]:
    """The last layer on the coarsest grid, or before the last block that looks around."""
    best, why = _bottleneck(probe, kept)
    if probe.several_outputs and not probe.reaching([best]):
        best, why = _bottleneck(probe, probe.reaching(kept) or kept)
    return best, why, f"behind {best.name}, and closer to the segmentation itself"


def _bottleneck(probe: Probe, kept: list[Call]) -> tuple[Call, str]:
    coarsest = min(call.voxels for call in kept)
    if coarsest >= math.prod(probe.answer[2:]):
        return _before_last_neighbourhood(probe.calls, kept)
    level = [call for call in kept if call.voxels == coarsest]
    # The first steps of a block that goes up from there belong to the way up.
    ups = [
        call
        for call in kept
        if len(call.entered) > 2 and math.prod(call.entered[2:]) == coarsest < call.voxels
    ]
    before = [call for call in level if not any(call.name.startswith(f"{up.name}.") for up in ups)]
    return (before or level)[-1], "the bottleneck, the last layer on the coarsest grid"


def _before_last_neighbourhood(calls: list[Call], kept: list[Call]) -> tuple[Call, str]:
    """The last layer before the outermost block with the last kernel of more than one voxel."""
    looking = [
        call
        for call in kept
        if isinstance(call.module, CONVOLUTIONS) and max(call.module.kernel_size) > 1
    ]
    trivial = "the map of every layer is the segmentation itself here"
    if not looking:
        return kept[-2:][0], trivial
    block = looking[-1].name
    last = calls[-1].name
    while "." in block:
        parent = block.rpartition(".")[0]
        if last.startswith(f"{parent}.") or last == parent:  # that is the rest of the network
            break
        block = parent
    started = next(i for i, call in enumerate(calls) if f"{call.name}.".startswith(f"{block}."))
    before = [call for call in kept if calls.index(call) < started]
    if not before:
        return looking[-1], trivial
    return before[-1], (
        "before the last block that looks at a voxel's neighbours, behind which the map is the"
        " segmentation itself"
    )
