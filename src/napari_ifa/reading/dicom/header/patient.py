"""Which patient a DICOM image is of, as far as its header tells one patient from another."""

from __future__ import annotations

import re

from napari_ifa.volumes.volume import Volume

#: What anonymisers write in place of an ID: equal for everybody, so that it tells nobody apart.
_PLACEHOLDER = re.compile(
    r"anon(ym(ous|ized|ised|i[sz]ed patient|us)?)?|unknown|none|null|nil|nan|n/?a|not available"
    r"|removed|deleted|withheld|hidden|de-?identified|no ?(name|id)|patient|patient ?id|subject"
    r"|test|default|[0x*#?._\- ]*",
    re.IGNORECASE,
)


def patient_of(volume: Volume) -> str | None:
    """The PatientID of a DICOM image, with its issuer where one is stated.

    None for other images, and where the header has no ID or a placeholder such as "ANONYMOUS" or
    "000000". The ID itself is patient data: it must not be stored or shown.
    """
    frame = next((frame for frame in volume.source.frames if frame is not None), None)
    if frame is None:
        return None
    patient = frame.image.claims.patient
    if _PLACEHOLDER.fullmatch(patient.id):
        return None
    return f"{patient.issuer}\\{patient.id}" if patient.issuer else patient.id
