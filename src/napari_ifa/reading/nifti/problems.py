"""Kinds of what can be wrong with a file that nibabel reads, and of what is said of its image."""

from __future__ import annotations

from enum import Enum


class NiftiProblem(Enum):
    """Why a file is not opened."""

    HEADER_DAMAGED = "the header is damaged or incomplete"
    NO_PARTNER = "the header or the data of a pair is missing"
    NO_SUCH_IMAGE = "the file has fewer images"
    NO_IMAGE = "a size is zero or negative"
    TOO_MANY_IMAGES = "more images than can be chosen from"
    VALUE_TYPE = "values of a type that is not read"
    CIFTI = "values on the surface of the brain"
    NO_VOXEL_SIZE = "lengths are unknown"
    INVALID_ORIENTATION = "the matrix is not an orientation"
    PLACE_OF_VOXELS = "extensions, but no place for the voxels"


class NiftiNote(Enum):
    """What a person should know of an image that is opened."""

    NO_ORIENTATION = "left and right are unverified"
    NEGATIVE_VOXEL_SIZE = "left and right are unverified, because readers differ"
    TWO_ORIENTATIONS = "left and right are unverified, because sform and qform differ"
    TWO_VOXEL_SIZES = "sform and pixdim differ"
    SHOWN_BY_QFORM = "the sform is not an orientation"
    VOXELS_MOVED = "vox_offset lies inside the header"
    AS_STATED = "the orientation is not checked"
    COMPRESSION = "the name says another compression"
    OTHER_BYTES = "other bytes follow the compressed image"
    STRAIGHTENED = "the axes are sheared"
    NO_TRANSPARENCY = "the alpha channel is left out"
