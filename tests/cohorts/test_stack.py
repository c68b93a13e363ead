from __future__ import annotations

import gzip
import pickle
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_ifa.cohorts import array_file, read_cohort
from napari_ifa.cohorts.array_file import array_header, read_array
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError
from tests.problems import refused

# Four images of 2 rows and 3 columns; each number tells its place.
IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([7, 0, 7, 1], dtype=np.uint8)
CUBES = np.arange(4 * 2 * 3 * 5, dtype=np.int16).reshape(4, 2, 3, 5)


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    """The idx format by its definition: two zeros, type, axes, sizes, values, all big-endian."""
    values = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + values


def write_pair(folder: Path, name: str = "train", packed: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    suffix, pack = (".gz", gzip.compress) if packed else ("", bytes)
    (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(LABELS)))
    images = folder / f"{name}-images-idx3-ubyte{suffix}"
    images.write_bytes(pack(idx(IMAGES)))
    return images


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_pair_is_a_case_for_each_image(packed: bool, tmp_path: Path) -> None:
    images = write_pair(tmp_path / "digits", "t10k", packed)

    cohort = read_cohort(images)

    assert cohort.name == "digits"
    assert [case.id for case in cohort.cases] == [f"t10k item 0000{n}" for n in range(4)]
    assert [case.label for case in cohort.cases] == [7, 0, 7, 1]
    assert [case.item for case in cohort.cases] == [0, 1, 2, 3]
    np.testing.assert_array_equal(cohort.cases[2].read().array, IMAGES[2][None])
    labels = Path(str(images).replace("images-idx3", "labels-idx1"))
    assert read_cohort(labels).cases == cohort.cases
    assert read_cohort(images.parent).cases == cohort.cases


def test_a_folder_of_idx_pairs_has_a_split_for_each(tmp_path: Path) -> None:
    write_pair(tmp_path, "train")
    write_pair(tmp_path, "t10k", packed=True)

    both = read_cohort(tmp_path)

    assert len({case.id for case in both.cases}) == 8
    assert read_cohort(tmp_path, "test").cases == both.cases[:4]
    assert read_cohort(tmp_path, "training").split == "train"
    with refused(CohortError, ListProblem.NO_SUCH_SPLIT, split="val", splits="t10k (4), train (4)"):
        read_cohort(tmp_path, "val")


@pytest.mark.parametrize(
    ("dtype", "code"), [("i1", 9), ("i2", 0x0B), ("i4", 0x0C), ("f4", 0x0D), ("f8", 0x0E)]
)
def test_every_type_of_number_of_the_idx_format(dtype: str, code: int, tmp_path: Path) -> None:
    path = tmp_path / "a-images-idx4-ubyte"
    path.write_bytes(idx(CUBES.astype(dtype), code))

    values = read_cohort(path).cases[3].read().in_source_order()[0]

    # columns, rows, slices, as a NIfTI file has them
    np.testing.assert_array_equal(values, CUBES[3].astype(dtype).transpose(2, 1, 0))
    assert values.dtype == np.dtype(dtype)


def test_images_without_labels_have_none(tmp_path: Path) -> None:
    images = write_pair(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()

    assert {case.label for case in read_cohort(images).cases} == {None}


def test_labels_without_images_are_no_cohort(tmp_path: Path) -> None:
    write_pair(tmp_path).unlink()

    with refused(CohortError, ListProblem.NO_IMAGE_FILE):
        read_cohort(tmp_path / "train-labels-idx1-ubyte")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("arrays", "splits"),
    [
        ({"images": CUBES, "labels": LABELS}, {None: 4}),
        ({"x": CUBES, "y": LABELS[:, None]}, {None: 4}),
        ({"X_train": CUBES, "y_train": LABELS, "X_test": CUBES[:1]}, {None: 5, "test": 1}),
        ({"train_images": CUBES, "val_images": CUBES[:2], "n": np.ones(3)}, {"validation": 2}),
        ({"xtrain": CUBES, "ytrain": LABELS, "other": CUBES}, {"training": 4}),
    ],
)
def test_arrays_of_an_npz_file_are_known_by_their_names(save, arrays, splits, tmp_path) -> None:
    path = tmp_path / "set.npz"
    save(path, **arrays)

    for split, number in splits.items():
        cohort = read_cohort(path, split)
        assert len(cohort) == number
        for case in cohort.cases:
            found = case.read().in_source_order()[0]
            np.testing.assert_array_equal(found, CUBES[case.item].transpose(2, 1, 0))
    labels = [case.label for case in read_cohort(path).cases if case.label is not None]
    assert labels == ([7, 0, 7, 1] if len(arrays) > 1 and "val_images" not in arrays else [])


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        (np.array(["none", "lesion"]), ["none", "lesion"]),
        (np.array([b"none", b"lesion"]), ["none", "lesion"]),
        (np.array([0.5, np.nan]), [0.5, None]),
        (np.array([True, False]), [1, 0]),
        (np.array([[2], [3]], dtype=">i8"), [2, 3]),
    ],
)
def test_labels_of_an_npz_file_are_numbers_or_names(labels, read, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=CUBES[:2], labels=labels)

    found = [case.label for case in read_cohort(tmp_path / "a.npz").cases]

    assert found == read
    assert [type(label) for label in found] == [type(label) for label in read]


def test_2d_items_are_pictures_and_may_be_in_colour(tmp_path: Path) -> None:
    colour = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    np.savez(tmp_path / "colour.npz", images=colour)
    np.savez(tmp_path / "grey.npz", images=colour[..., :1])
    np.savez(tmp_path / "truths.npz", images=IMAGES > 9)

    assert read_cohort(tmp_path / "colour.npz").cases[1].read().array.shape == (1, 4, 5, 3)
    grey = read_cohort(tmp_path / "grey.npz").cases[1].read()
    np.testing.assert_array_equal(grey.array, colour[1, ..., 0][None])
    truths = read_cohort(tmp_path / "truths.npz").cases[1].read()
    np.testing.assert_array_equal(truths.array, [[[0, 0, 0], [0, 1, 1]]])


def test_a_slice_is_the_same_to_a_network_as_a_cube_of_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", images=CUBES[:, 0])
    np.savez(tmp_path / "cube.npz", images=CUBES[:, :1])

    flat, cube = (read_cohort(tmp_path / f"{n}.npz").cases[1].read() for n in ("flat", "cube"))

    np.testing.assert_array_equal(flat.in_source_order()[0], cube.in_source_order()[0])
    np.testing.assert_array_equal(flat.affine, cube.affine)


def test_arrays_in_columns_first_memory_order_are_read_rightly(tmp_path: Path) -> None:
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", images=np.asfortranarray(CUBES))
        header = array_header(tmp_path / f"{name}.npz", "images")
        assert header.fortran
        np.testing.assert_array_equal(read_array(header), CUBES)


def test_what_the_file_holds_as_it_is_is_mapped(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", first=LABELS, images=CUBES)
    np.savez_compressed(tmp_path / "packed.npz", images=CUBES)

    plain = read_array(array_header(tmp_path / "plain.npz", "images"))
    assert isinstance(plain, np.memmap)
    assert not plain.flags.writeable
    np.testing.assert_array_equal(plain, CUBES)
    assert isinstance(read_array(array_header(write_pair(tmp_path))), np.memmap)
    assert not isinstance(read_array(array_header(tmp_path / "packed.npz", "images")), np.memmap)


def test_a_file_is_unpacked_once_for_all_threads_and_again_when_it_changed(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=CUBES)
    unpacked: list[object] = []
    monkeypatch.setattr(
        array_file, "read_array", lambda header: unpacked.append(header) or read_array(header)
    )
    cases = read_cohort(path).cases

    with ThreadPoolExecutor(4) as pool:
        volumes = list(pool.map(lambda case: case.read(), cases * 5))
    assert len(unpacked) == 1
    assert {float(volume.array.min()) for volume in volumes} == {0.0, 30.0, 60.0, 90.0}
    np.savez_compressed(path, images=CUBES[:3] + 1)
    assert cases[0].read().array.min() == 1
    assert len(unpacked) == 2
    with refused(CohortError, ListProblem.NO_SUCH_ITEM, items=3, item=3):
        cases[3].read()


def test_an_image_is_a_copy_that_may_be_changed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=CUBES)
    case = read_cohort(tmp_path / "a.npz").cases[0]

    case.read().array[:] = -1

    np.testing.assert_array_equal(case.read().array.min(), 0)


def test_items_travel_to_other_processes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=CUBES, test_images=CUBES + 1000)
    case = read_cohort(tmp_path / "a.npz", "test").cases[2]

    again = pickle.loads(pickle.dumps(case))

    assert again == case
    np.testing.assert_array_equal(again.read().array, case.read().array)


@pytest.mark.parametrize(
    ("arrays", "kind", "facts"),
    [
        ({"arr_0": CUBES}, ListProblem.NO_IMAGE_ARRAY, {"members": "'arr_0'"}),
        ({}, ListProblem.NO_IMAGE_ARRAY, {"members": "no array at all"}),
        (
            {"images": CUBES, "x": CUBES},
            ListProblem.ARRAYS_ALIKE,
            {"first": "images", "second": "x"},
        ),
        (
            {"images": CUBES, "labels": [0, 1]},
            ListProblem.NUMBER_OF_LABELS,
            {"labels": "2", "images": 4},
        ),
        (
            {"images": CUBES, "labels": np.zeros((4, 14))},
            ListProblem.LABELS_PER_CASE,
            {"labels": 14},
        ),
        (
            {"images": CUBES, "labels": 3},
            ListProblem.NUMBER_OF_LABELS,
            {"labels": "no", "images": 4},
        ),
        ({"images": CUBES[0, 0]}, ListProblem.NOT_IMAGES, {"shape": "3 × 5", "dtype": "int16"}),
        ({"images": CUBES[:, :0]}, ListProblem.NOT_IMAGES, {"shape": "4 × 0 × 3 × 5"}),
        ({"images": CUBES[:0]}, ListProblem.NO_CASE, {}),
        ({"images": CUBES.astype(complex)}, ListProblem.NOT_NUMBERS, {}),
        ({"images": np.array(["a"])}, ListProblem.NOT_IMAGES, {}),
        ({"images": np.array([CUBES[0], None], object)}, ListProblem.PYTHON_OBJECTS, {}),
        (
            {"images": CUBES, "labels": np.array([0, 1, "a", None], object)},
            ListProblem.PYTHON_OBJECTS,
            {},
        ),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_is_wrong_with_an_npz_file_is_said(save, arrays, kind, facts, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **arrays)

    with refused(CohortError, kind, **facts):
        read_cohort(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("content", "kind", "facts"),
    [
        (b"", ListProblem.NOT_IDX, {}),
        (b"\x01\x02\x03\x04", ListProblem.NOT_IDX, {}),
        (idx(IMAGES)[:10], ListProblem.DAMAGED, {}),
        (idx(IMAGES)[:-1], ListProblem.TOO_SHORT, {"shape": "4 × 2 × 3"}),
        (idx(IMAGES) + b"\0", ListProblem.TOO_LONG, {}),
        (gzip.compress(b"", mtime=0), ListProblem.NOT_IDX, {}),
        (gzip.compress(idx(IMAGES), mtime=0)[:12], ListProblem.DAMAGED, {}),
        (
            struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3),
            ListProblem.TOO_SHORT,
            {"shape": " × ".join(["4294967295"] * 3)},
        ),
        (
            gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, *[2**31] * 3), mtime=0),
            ListProblem.TOO_SHORT,
            {"shape": " × ".join(["2147483648"] * 3)},
        ),
        (idx(LABELS), ListProblem.NOT_IMAGES, {"shape": "4", "dtype": "uint8"}),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(
    content: bytes, kind, facts, tmp_path: Path
) -> None:
    path = tmp_path / "a-images-idx3-ubyte"
    path.write_bytes(content)

    with refused(CohortError, kind, **facts):
        read_cohort(path)


@pytest.mark.parametrize("cut", [-1, -9, -30])
def test_a_packed_file_that_was_cut_short_is_damaged_for_every_image(cut, tmp_path: Path) -> None:
    images = write_pair(tmp_path, packed=True)
    noise = np.random.default_rng(0).integers(0, 255, (4, 9, 9), dtype=np.uint8)
    images.write_bytes(gzip.compress(idx(noise))[:cut])

    for case in read_cohort(images).cases:
        with refused(CohortError, ListProblem.DAMAGED):
            case.read()


def test_an_npz_file_that_claims_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    header = str({"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**5, 10**5)}).encode()
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("images.npy", npy)
        with refused(CohortError, ListProblem.DAMAGED):
            read_cohort(path)


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=CUBES)
    case = read_cohort(tmp_path / "a.npz").cases[0]
    (tmp_path / "a.npz").unlink()

    with refused(
        CohortError, ListProblem.UNREADABLE, file="a.npz", reason="No such file or directory"
    ):
        case.read()
