"""The header fields that are read, by the standard's keywords; else by their private tags."""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag

SIEMENS_CREATOR = 0x00190010
SIEMENS_MOSAIC_TILES = 0x0019100A
SIEMENS_B_VALUE = 0x0019100C
SIEMENS_DIRECTION = 0x0019100E
#: The private blocks of group 0029, one of which holds the CSA image header.
CSA_CREATORS = (0x00290010, 0x00290011, 0x00290012)
CSA_HEADERS = (0x00291010, 0x00291110, 0x00291210)
GE_CREATOR = 0x00430010
GE_COMPONENT = 0x0043102F
UNITED_TILES = 0x00651051

_PRIVATE = (
    *(SIEMENS_CREATOR, SIEMENS_MOSAIC_TILES, SIEMENS_B_VALUE, SIEMENS_DIRECTION),
    *(*CSA_CREATORS, *CSA_HEADERS, GE_CREATOR, GE_COMPONENT, UNITED_TILES),
)
_KEYWORDS = """
ImageType SOPClassUID SOPInstanceUID StudyDate AcquisitionDate ContentDate AcquisitionDateTime
AcquisitionTime ContentTime AccessionNumber Modality SeriesDescription ComplexImageComponent
PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge
ContrastBolusAgent SliceThickness KVP EchoTime InversionTime EchoNumbers SpacingBetweenSlices
TriggerTime ConvolutionKernel FlipAngle PatientPosition NominalScannedPixelSpacing
ImagerPixelSpacing DiffusionBValue DiffusionGradientOrientation StudyInstanceUID
SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber ImagePositionPatient
ImageOrientationPatient FrameOfReferenceUID TemporalPositionIdentifier SliceLocation
NominalPercentageOfCardiacPhase NominalPercentageOfRespiratoryPhase
NominalCardiacTriggerDelayTime DimensionIndexSequence SamplesPerPixel PhotometricInterpretation
PlanarConfiguration NumberOfFrames Rows Columns PixelSpacing PixelAspectRatio BitsAllocated
BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
FloatPixelPaddingValue DoubleFloatPixelPaddingValue FloatPixelPaddingRangeLimit
DoubleFloatPixelPaddingRangeLimit WindowCenter WindowWidth RescaleIntercept RescaleSlope
WindowCenterWidthExplanation VOILUTFunction ModalityLUTSequence VOILUTSequence
EnergyWindowVector DetectorVector DetectorInformationSequence RRIntervalVector TimeSlotVector
SliceVector FrameReferenceTime SegmentationType MaximumFractionalValue GridFrameOffsetVector
DoseGridScaling SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
#: What a scan asks pydicom for; what stands inside sequences comes with them, and everything else
#: in a file is passed over.
SCANNED: list[BaseTag | int] = [
    *(BaseTag(tag_for_keyword(keyword) or 0) for keyword in _KEYWORDS.split()),
    *map(BaseTag, _PRIVATE),
]
