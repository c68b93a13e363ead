"""What can be wrong with a file that nibabel reads, and what is said of its image: the kinds, each
with its sentence."""

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

    NO_ORIENTATION = "{file}: no orientation stored; left and right are unverified."
    NEGATIVE_VOXEL_SIZE = "{file}: its voxel size is negative; left and right are unverified."
    TWO_ORIENTATIONS = (
        "{file}: its two orientations (sform and qform) contradict each other; shown by the first,"
        " left and right are unverified."
    )
    TWO_VOXEL_SIZES = (
        "{file}: its two voxel sizes (sform {sform}, pixdim {pixdim}) differ; shown by the first,"
        " check a length before you measure."
    )
    SHOWN_BY_QFORM = "{file}: its sform is not a valid orientation; shown by its qform."
    VOXELS_MOVED = (
        "{file}: its header places the voxels inside of itself (vox_offset {vox_offset:g}); read"
        " from byte {read_from} on, as the format demands."
    )
    AS_STATED = "{file}: read by nibabel; the orientation is as the file states it, unchecked."
    COMPRESSION = "{file}: {found}; opened by its content."
    OTHER_BYTES = "{file}: other bytes follow the compressed image; they are left out."
    STRAIGHTENED = (
        "{file}: the axes miss the right angle by {degrees:.1f}° (sheared); shown straightened by"
        " interpolation, do not measure on it."
    )
    NO_TRANSPARENCY = "{file}: transparency (the alpha channel) is left out."
