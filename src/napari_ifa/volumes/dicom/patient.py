"""Which patient a DICOM image is of, as far as its header tells one patient from another."""

from __future__ import annotations

import re

from napari_ifa.volumes.dicom.fields import Fields
from napari_ifa.volumes.volume import Volume

_CHARACTER_SET, _PATIENT_ID, _ISSUER = 0x00080005, 0x00100020, 0x00100021
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
    import pydicom

    try:
        dataset = pydicom.dcmread(
            frame.image.path,
            stop_before_pixels=True,
            specific_tags=[_CHARACTER_SET, _PATIENT_ID, _ISSUER],
            force=True,
        )
    except Exception:  # a file that changed since it was opened; pydicom has no common error
        return None
    fields = Fields(dataset)
    patient, issuer = fields.text(_PATIENT_ID), fields.text(_ISSUER)
    if _PLACEHOLDER.fullmatch(patient):
        return None
    return f"{issuer}\\{patient}" if issuer else patient
