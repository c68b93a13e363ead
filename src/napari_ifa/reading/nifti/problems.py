"""Kinds of what can be wrong with a file that nibabel reads, and of what is said of its image."""

from __future__ import annotations

from enum import Enum


class NiftiProblem(Enum):
    """Why a file is not opened."""

    HEADER_DAMAGED = (
        "{file}: not a readable {format} file; its header is damaged, incomplete or of a kind"
        " that is not supported."
    )
    NO_PARTNER = "{file}: its {lacks} {partner} is missing; put both files into one folder."
    NO_SUCH_IMAGE = "{file}: there is no image {image}; the file has {images}."
    NO_IMAGE = "{name}: no image inside (its size is {sizes}). Not opened."
    TOO_MANY_IMAGES = (
        "{file}: {images} images in one file, more than can be chosen from. Not opened."
    )
    VALUE_TYPE = "{file}: its values are stored as a type of number that is not read. Not opened."
    CIFTI = (
        "{name}: a CIFTI file, whose values lie on the brain's surface; not an image. Not opened."
    )
    NO_VOXEL_SIZE = "{name}: no voxel size stored; lengths are unknown. Not opened."
    INVALID_ORIENTATION = "{name}: the orientation matrix is invalid. Not opened."
    PLACE_OF_VOXELS = (
        "{file}: its header says that extensions lie before the voxels, but not where the"
        " voxels begin (vox_offset {vox_offset:g}). Not opened."
    )


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
