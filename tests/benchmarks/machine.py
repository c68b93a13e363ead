"""What a benchmark ran on: without it, its figures say little."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

PACKAGES = ("napari-ifa", "torch", "monai", "captum", "torchcam", "grad-cam")


def description(device: torch.device, packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Processor, cores, threads, memory, GPU, versions and date, for the JSON file."""
    gpu = None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gpu = {"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device.type,
        "gpu": gpu,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "versions": {name: version(name) for name in packages},
    }


def in_a_line(machine: dict[str, object]) -> str:
    """The same in one line, for the head of a table."""
    gpu = machine["gpu"]
    device = f"{gpu['name']}, CUDA {machine['cuda']}" if isinstance(gpu, dict) else "no GPU used"
    versions = machine["versions"]
    assert isinstance(versions, dict)
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads,"
        f" {machine['memory_gib']} GiB, {device}; Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + f"; {machine['date']}"
    )


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
