"""Cases that belong together, such as slices of one patient, under pseudonyms.

Cases of one patient are alike, so a test that takes them for independent finds differences where
there are none. What the file keeps of a group is a number that two analyses by the same model agree
on, and from which the patient's ID cannot simply be read.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_ifa.cohorts.case import Case
from napari_ifa.volumes import Volume

#: A case whose group is not known.
UNKNOWN = 0
#: Scrypt's cost: some 20 ms and 8 MiB for each group, once. It makes trying out all short IDs
#: slow, not impossible.
_COST, _BLOCK = 2**13, 8


def group_of(case: Case, volume: Volume, key: str) -> int:
    """The pseudonym of a case's group; `UNKNOWN` where nothing tells it.

    The list of cases comes first, then the PatientID of a DICOM image.

    Parameters
    ----------
    volume : the case's image.
    key : of the pseudonym: the SHA-256 of the model's weights, so that analyses that may be
        compared agree, and a table of pseudonyms made for one model is of no use for another.
    """
    group = case.group
    frame = next((frame for frame in volume.source.frames if frame is not None), None)
    if group is None and frame is not None:
        group = frame.image.claims.patient.identifier
    return UNKNOWN if group is None else pseudonym(group, key)


@lru_cache(maxsize=2**16)
def pseudonym(group: str, key: str) -> int:
    """64 bits of scrypt (RFC 7914) of the group's name, salted with ``key``; never `UNKNOWN`."""
    digest = hashlib.scrypt(
        group.encode("utf-8", "surrogatepass"),
        salt=f"napari-ifa group {key}".encode(),
        n=_COST,
        r=_BLOCK,
        p=1,
        dklen=8,
    )
    return max(int.from_bytes(digest, "little"), UNKNOWN + 1)


def group_numbers(pseudonyms: NDArray[np.uint64]) -> NDArray[np.int64] | None:
    """Numbers ``[N]`` from 0, equal for cases of one group; None where no group is known.

    A case without a known group is a group of its own. One group of all cases tells nothing apart,
    as the PatientID that some anonymisers give to everybody, and counts as none known.
    """
    found = np.asarray(pseudonyms, np.uint64)
    known = found != UNKNOWN
    distinct, numbers = np.unique(found[known], return_inverse=True)
    if not len(distinct) or (len(distinct) == 1 and known.all() and len(found) > 1):
        return None
    result = np.empty(len(found), np.int64)
    result[known] = numbers
    result[~known] = len(distinct) + np.arange(int((~known).sum()))
    return result
