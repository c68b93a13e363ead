"""MONAI's image readers, as a bundle names them: what each argument does to the image here.

An argument is reproduced, or has no part in the image, or is refused by its name; none is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.models.problems import PreprocessingProblem
from napari_ifa.volumes.volume import Volume

#: What each reader takes that changes the image, with its default in MONAI.
_REPRODUCED: dict[str, dict[str, Any]] = {
    "NibabelReader": {
        "channel_dim": None,
        "as_closest_canonical": False,
        "squeeze_non_spatial_dims": False,
    },
    "PydicomReader": {"channel_dim": None, "affine_lps_to_ras": True, "swap_ij": True},
    "ITKReader": {"channel_dim": None, "affine_lps_to_ras": True, "reverse_indexing": False},
    "PILReader": {"converter": None, "reverse_indexing": True},
    # No file of theirs is opened here; an image of another kind goes to another reader.
    "NumpyReader": {"channel_dim": None},
    "NrrdReader": {"channel_dim": None, "affine_lps_to_ras": True},
}
#: What has no part in the values or the place of an image: how metadata is kept, how a file is
#: read into memory.
_WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "NibabelReader": ("mmap", "keep_file_open"),
    "PydicomReader": ("prune_metadata", "force", "defer_size"),
    "ITKReader": ("series_meta", "fallback_only"),
    "PILReader": ("mode", "formats"),
    "NumpyReader": ("allow_pickle", "mmap_mode", "fix_imports", "encoding", "max_header_size"),
    "NrrdReader": (),
}
#: What is not reproduced, with the values that ask for nothing.
_NOT_REPRODUCED: dict[str, dict[str, tuple[Any, ...]]] = {
    "NibabelReader": {"to_gpu": (False, None)},
    "PydicomReader": {
        "to_gpu": (False, None),
        "label_dict": (None,),
        "fname_regex": ("", None),
    },
    "ITKReader": {"series_name": ("",), "pixel_type": (None,), "imageio": (None,)},
    "PILReader": {},
    "NumpyReader": {"npz_keys": (None,)},
    "NrrdReader": {"index_order": ("F",), "dtype": (None, "float32", np.float32)},
}
#: The kinds of `SourceOrder` that a reader opens.
_OPENS: dict[str, tuple[str, ...]] = {
    "NibabelReader": ("nifti", "memory"),
    "PydicomReader": ("dicom",),
    "ITKReader": ("nifti", "memory", "dicom", "image"),
    "PILReader": ("image",),
    "NumpyReader": (),
    "NrrdReader": (),
}
#: Which reader MONAI takes where none that is named opens the file (of DICOM: without ITK).
_DEFAULT = {
    "nifti": "NibabelReader",
    "memory": "NibabelReader",
    "dicom": "PydicomReader",
    "image": "PILReader",
}
_ALIASES = {name.lower(): name for name in _REPRODUCED} | {
    "nvimgcodecpydicomreader": "PydicomReader"
}


@dataclass(frozen=True)
class Readers:
    """The readers that a loader names, with their arguments, in the order in which they are tried.

    ``others`` are the arguments that MONAI's remaining readers were given.
    """

    named: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_arguments(cls, reader: Any, arguments: Mapping[str, Any]) -> Readers:
        """From ``reader=`` of MONAI's loader, a name or several, and the arguments beside it.

        BundleError names a reader or an argument that is not reproduced.
        """
        names = [] if reader is None else [reader] if isinstance(reader, str) else list(reader)
        # MONAI tries the reader named last before the others.
        named = tuple((_known(name), _checked(arguments, _known(name))) for name in names[::-1])
        if not named:
            _check_known_to_one(arguments)
        return cls(named, dict(arguments))

    @classmethod
    def from_objects(cls, named: Sequence[Any], others: Sequence[Any]) -> Readers:
        """From readers that MONAI has built: those that a bundle names, and the remaining ones."""
        pairs = tuple((_known(type(one)), _arguments_of(one)) for one in reversed(named))
        common: dict[str, Any] = {}
        for one in others:
            common |= _arguments_of(one)
        if not pairs:
            _check_known_to_one(common)
        return cls(tuple((name, _checked(given, name)) for name, given in pairs), common)

    def of(self, volume: Volume) -> tuple[str, dict[str, Any]]:
        """The reader that opens an image, with its arguments and MONAI's defaults.

        Two arguments hold for more than the files of their reader, since they say how the person
        who made the model wanted images to stand: a network for NIfTI files brought to the closest
        canonical axes gets a DICOM image so too, and one for pictures with rows first an X-ray in
        DICOM. ExplanationError where MONAI's loader would not open such an image.
        """
        kind = volume.source.kind
        for name, given in self.named:
            if kind in _OPENS[name]:
                return name, _REPRODUCED[name] | dict(given)
        names = [name for name, _ in self.named]
        meant = {key: value for _, given in self.named for key, value in given.items()}
        if volume.is_picture and meant.get("reverse_indexing") is False and "PILReader" in names:
            return "PILReader", _REPRODUCED["PILReader"] | meant
        name = _DEFAULT[kind]
        found = dict(_REPRODUCED[name])
        for key, value in (meant | dict(self.others)).items():
            # PIL's and ITK's argument of one name mean opposite things.
            own = key in found and (key != "reverse_indexing" or name == "PILReader")
            if own or (key == "as_closest_canonical" and volume.source.placed):
                found[key] = value
            elif not _asks_for_nothing(key, value):
                raise ExplanationError(
                    PreprocessingProblem.READER_AND_IMAGE, argument=key, image=_in_words(volume)
                )
        return name, found


def is_reader_argument(name: str) -> bool:
    """Whether one of MONAI's readers takes an argument of this name."""
    tables: tuple[Mapping[str, Any], ...] = (_REPRODUCED, _WITHOUT_EFFECT, _NOT_REPRODUCED)
    return any(name in of_reader for table in tables for of_reader in table.values())


def _known(reader: Any) -> str:
    """MONAI's own name of a reader; BundleError for one that is not MONAI's."""
    text = reader if isinstance(reader, str) else getattr(reader, "__name__", str(reader))
    module = "" if isinstance(reader, str) else getattr(reader, "__module__", "")
    own = text.startswith("monai.data.") or "." not in text
    name = _ALIASES.get(text.rpartition(".")[2].lower()) if own else None
    if name is None or (module and not module.startswith("monai.")):
        known = ", ".join(_REPRODUCED)
        raise BundleError(PreprocessingProblem.READER, reader=text, known=known)
    return name


def _checked(arguments: Mapping[str, Any], reader: str) -> dict[str, Any]:
    """The arguments that count for the image; BundleError for one that is not reproduced."""
    kept = {}
    for key, value in arguments.items():
        if key in _REPRODUCED[reader]:
            kept[key] = value
        elif key in _WITHOUT_EFFECT[reader]:
            continue
        elif not _is_one_of(value, _NOT_REPRODUCED[reader].get(key)):
            raise _not_reproduced(key, reader)
    _check_channel(kept)
    return kept


def _check_known_to_one(arguments: Mapping[str, Any]) -> None:
    for key, value in arguments.items():
        refusals = [table[key] for table in _NOT_REPRODUCED.values() if key in table]
        known = any(
            key in table.get(name, ()) for table in (_REPRODUCED, _WITHOUT_EFFECT) for name in table
        )
        if not known and not any(_is_one_of(value, neutral) for neutral in refusals):
            raise _not_reproduced(key)
    _check_channel(arguments)


def _check_channel(arguments: Mapping[str, Any]) -> None:
    channel = arguments.get("channel_dim")
    if channel is not None and channel != "no_channel" and not isinstance(channel, int):
        raise _not_reproduced("channel_dim")


def _not_reproduced(key: str, whose: str = "reader") -> BundleError:
    return BundleError(PreprocessingProblem.READER_ARGUMENT, whose=whose, argument=key)


def _is_one_of(value: Any, neutral: tuple[Any, ...] | None) -> bool:
    # By identity or type and value: 0 is not False, and an array equals nothing.
    return neutral is not None and any(
        value is one or (type(value) is type(one) and value == one) for one in neutral
    )


def _asks_for_nothing(key: str, value: Any) -> bool:
    """Whether a reader that has the argument would do the same without it."""
    if any(key in names for names in _WITHOUT_EFFECT.values()):
        return True
    if key == "squeeze_non_spatial_dims":  # other kinds of files have no such axes
        return True
    defaults = [known[key] for known in _REPRODUCED.values() if key in known]
    if defaults:
        return all(_is_one_of(value, (default,)) for default in defaults)
    neutral = [known[key] for known in _NOT_REPRODUCED.values() if key in known]
    return any(_is_one_of(value, one) for one in neutral)


def _arguments_of(reader: Any) -> dict[str, Any]:
    """The arguments that one of MONAI's readers was built with and that are not its defaults."""
    name = _known(type(reader))
    given = {key: value for key, value in vars(reader).items() if key != "kwargs"}
    if isinstance(given.get("channel_dim"), float):  # MONAI's sign for "no_channel"
        given["channel_dim"] = "no_channel"
    neutral = {key: (value,) for key, value in _REPRODUCED[name].items()} | _NOT_REPRODUCED[name]
    kept = {
        key: value
        for key, value in given.items()
        if key in neutral and not _is_one_of(value, neutral[key])
    }
    return kept | dict(getattr(reader, "kwargs", {}))


def _in_words(volume: Volume) -> str:
    words = {"dicom": "a DICOM image", "image": "a picture"}
    return words.get(volume.source.kind, "a NIfTI image")
