"""Too little memory is told from other failures, whoever says it, and said just so."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from napari_ifa import memory, samples
from napari_ifa.errors import AnalysisError, IfaError, UnsupportedStudyError
from napari_ifa.memory import in_gib, lacks_memory, memory_said, total_memory

COMPLAINTS = [
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((10**6, 10**6), np.dtype("f8")),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 b"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate 1.5 GB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    zlib.error("Error -4 while decompressing data: out of memory"),
    OSError("Can't synchronously read data (memory allocation failed for raw data chunk)"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
]


@pytest.mark.parametrize("error", COMPLAINTS, ids=lambda error: str(error)[:20] or "MemoryError")
def test_every_librarys_way_to_say_it_is_known(error: Exception) -> None:
    assert lacks_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape '[2, 3]' is invalid for input of size 5"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError("buffer size must be a multiple of element size"),
        AnalysisError("This analysis speaks of not enough memory."),
    ],
)
def test_other_failures_are_none_of_it(error: Exception) -> None:
    assert not lacks_memory(error)


def test_what_a_reader_took_for_damage_is_said_as_what_it_was() -> None:
    @memory_said(UnsupportedStudyError, "open this image", "use a smaller one")
    def read() -> None:
        try:
            raise RuntimeError("can't allocate memory: you tried to allocate 3221225472 bytes.")
        except RuntimeError as error:
            raise UnsupportedStudyError("scan.nii: damaged.") from error

    with pytest.raises(UnsupportedStudyError) as caught:
        read()
    assert str(caught.value) == (
        "There is not enough memory to open this image (3 GiB more were needed); use a smaller one."
    )


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError), memory_said(IfaError, "do this", "do less"):
        raise KeyError("x")


def test_a_containers_limit_is_all_the_memory_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (str(limit),))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=2**40))
    limit.write_text("max\n")
    assert total_memory() == 2**40
    limit.write_text(f"{3 * 2**30}\n")
    assert total_memory() == 3 * 2**30
    assert in_gib(total_memory()) == "3 GiB"


LIMITED = """
import resource, sys
from napari_ifa.cli import main
import torch, monai.transforms, monai.networks.nets
import napari_ifa.analysis, napari_ifa.export.explanation
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {room}, held + {room}))
sys.exit(main(sys.argv[1:]))
"""


def test_a_limited_process_says_that_memory_does_not_suffice(tmp_path: Path) -> None:
    """An image of 400 MiB as float32, where 256 MiB are left."""
    import nibabel

    path = tmp_path / "large.nii"
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((512, 512, 400))
    header["magic"], header["vox_offset"] = b"n+1", 352
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        file.truncate(352 + 512 * 512 * 400)

    done = subprocess.run(
        [
            *(sys.executable, "-c", LIMITED.format(room=2**28), "explain", str(path)),
            *("--bundle", str(samples.bundle("clean")), "-o", str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not enough memory" in done.stderr
    assert not (tmp_path / "out").exists()
