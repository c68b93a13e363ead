"""What is written to a disk: whole or not at all, never over something else, nothing left behind.

In the order in which a result needs them: ``cache`` is the product's own folder; ``claim`` keeps a
second run away from a place; ``existing`` says what may be replaced; ``work`` is a private folder
in which a result is made, and ``leftovers`` removes those of processes that ended; ``whole`` moves
a file into its place and ``exchange`` several files into a folder; ``flushing`` brings them to the
disk first, and ``reasons`` finds out whether they fit and says why it failed.
"""

from __future__ import annotations

from napari_ifa.disk.claim import Claim, claimed
from napari_ifa.disk.existing import PRODUCT, Kind, check_file, check_not_read, is_ours
from napari_ifa.disk.leftovers import clear_leftovers
from napari_ifa.disk.reasons import check_room, reason_of, reasons_told
from napari_ifa.disk.whole import whole_file, whole_folder
from napari_ifa.disk.work import WorkFolder

__all__ = [
    "PRODUCT",
    "Claim",
    "Kind",
    "WorkFolder",
    "check_file",
    "check_not_read",
    "check_room",
    "claimed",
    "clear_leftovers",
    "is_ours",
    "reason_of",
    "reasons_told",
    "whole_file",
    "whole_folder",
]
