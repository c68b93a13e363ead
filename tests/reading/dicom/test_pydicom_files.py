"""Every file that pydicom ships ends in a right image, or in one sentence.

The table holds what each file alone is; values are compared with pydicom's own.
"""

from __future__ import annotations

import shutil
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.volumes import Volume

ROOT = Path(pydicom.__file__).parent / "data"

OPENED = {
    "charset_files/chrArab.dcm": "picture 1×32×32",
    "charset_files/chrFren.dcm": "picture 1×32×32",
    "charset_files/chrFrenMulti.dcm": "picture 1×32×32",
    "charset_files/chrGerm.dcm": "picture 1×32×32",
    "charset_files/chrGreek.dcm": "picture 1×32×32",
    "charset_files/chrH31.dcm": "picture 1×32×32",
    "charset_files/chrH32.dcm": "picture 1×32×32",
    "charset_files/chrHbrw.dcm": "picture 1×32×32",
    "charset_files/chrI2.dcm": "picture 1×32×32",
    "charset_files/chrRuss.dcm": "picture 1×32×32",
    "charset_files/chrX1.dcm": "picture 1×32×32",
    "charset_files/chrX2.dcm": "picture 1×32×32",
    "test_files/693_J2KI.dcm": "axial 1×512×512",
    "test_files/CT_small.dcm": "axial 1×128×128",
    "test_files/ExplVR_BigEnd.dcm": "picture 1×60×80 colour",
    "test_files/GDCMJ2K_TextGBR.dcm": "picture 1×400×400 colour",
    "test_files/J2K_pixelrep_mismatch.dcm": "oblique axial 22° 1×512×512",
    "test_files/JPEG-lossy.dcm": "picture 1×1024×256",
    "test_files/JPEG2000.dcm": "picture 1×1024×256",
    "test_files/JPEGLSNearLossless_08.dcm": "picture 1×45×10",
    "test_files/JPEGLSNearLossless_16.dcm": "picture 1×50×10",
    "test_files/JPGExtended.dcm": "picture 1×1024×256",
    "test_files/MR_small.dcm": "axial 1×64×64",
    "test_files/MR_small_RLE.dcm": "axial 1×64×64",
    "test_files/MR_small_bigendian.dcm": "axial 1×64×64",
    "test_files/MR_small_expb.dcm": "axial 1×64×64",
    "test_files/MR_small_implicit.dcm": "axial 1×64×64",
    "test_files/MR_small_jp2klossless.dcm": "axial 1×64×64",
    "test_files/MR_small_jpeg_ls_lossless.dcm": "axial 1×64×64",
    "test_files/MR_small_padded.dcm": "axial 1×64×64",
    "test_files/SC_jpeg_no_color_transform.dcm": "picture 1×256×256 colour",
    "test_files/SC_jpeg_no_color_transform_2.dcm": "picture 1×256×256 colour",
    "test_files/SC_rgb_dcmtk_+eb+cr.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_dcmtk_+eb+cy+n1.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_dcmtk_+eb+cy+n2.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_dcmtk_+eb+cy+np.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_dcmtk_+eb+cy+s2.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_dcmtk_+eb+cy+s4.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_gdcm_KY.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_jls_lossy_line.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_jls_lossy_sample.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_jpeg.dcm": "picture 1×256×256 colour",
    "test_files/SC_rgb_jpeg_app14_dcmd.dcm": "picture 1×256×256 colour",
    "test_files/SC_rgb_jpeg_dcmd.dcm": "picture 1×256×256 colour",
    "test_files/SC_rgb_jpeg_dcmtk.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_jpeg_gdcm.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_jpeg_lossy_gdcm.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_rle.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_rle_16bit.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_rle_16bit_2frame.dcm": "2D stack 2×100×100 colour",
    "test_files/SC_rgb_rle_2frame.dcm": "2D stack 2×100×100 colour",
    "test_files/SC_rgb_rle_32bit.dcm": "picture 1×100×100 colour",
    "test_files/SC_rgb_rle_32bit_2frame.dcm": "2D stack 2×100×100 colour",
    "test_files/SC_rgb_small_odd.dcm": "picture 1×3×3 colour",
    "test_files/SC_rgb_small_odd_big_endian.dcm": "picture 1×3×3 colour",
    "test_files/SC_rgb_small_odd_jpeg.dcm": "picture 1×3×3 colour",
    "test_files/SC_ybr_full_422_uncompressed.dcm": "picture 1×100×100 colour",
    "test_files/dicomdirtests/77654033/CR1/6154": "picture 1×16×16",
    "test_files/dicomdirtests/77654033/CR2/6247": "picture 1×16×16",
    "test_files/dicomdirtests/77654033/CR3/6278": "picture 1×16×16",
    "test_files/dicomdirtests/77654033/CT2/17106": "axial 1×16×16",
    "test_files/dicomdirtests/77654033/CT2/17136": "axial 1×16×16",
    "test_files/dicomdirtests/77654033/CT2/17166": "axial 1×16×16",
    "test_files/dicomdirtests/77654033/CT2/17196": "axial 1×16×16",
    "test_files/dicomdirtests/98892001/CT2N/6293": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892001/CT2N/6924": "coronal 16×1×16",
    "test_files/dicomdirtests/98892001/CT5N/2062": "axial 1×16×16",
    "test_files/dicomdirtests/98892001/CT5N/2392": "axial 1×16×16",
    "test_files/dicomdirtests/98892001/CT5N/2693": "axial 1×16×16",
    "test_files/dicomdirtests/98892001/CT5N/3023": "axial 1×16×16",
    "test_files/dicomdirtests/98892001/CT5N/3353": "axial 1×16×16",
    "test_files/dicomdirtests/98892003/MR1/15820": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR1/4919": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR1/5641": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR2/15970": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR2/4950": "coronal 16×1×16",
    "test_files/dicomdirtests/98892003/MR2/4981": "axial 1×16×16",
    "test_files/dicomdirtests/98892003/MR2/5011": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR2/6273": "axial 1×16×16",
    "test_files/dicomdirtests/98892003/MR2/6605": "sagittal 16×16×1",
    "test_files/dicomdirtests/98892003/MR2/6935": "coronal 16×1×16",
    "test_files/dicomdirtests/98892003/MR700/4467": "oblique sagittal 41° 16×16×1",
    "test_files/dicomdirtests/98892003/MR700/4528": "oblique coronal 16° 16×1×16",
    "test_files/dicomdirtests/98892003/MR700/4558": "coronal 16×1×16",
    "test_files/dicomdirtests/98892003/MR700/4588": "oblique coronal 33° 16×1×16",
    "test_files/dicomdirtests/98892003/MR700/4618": "oblique sagittal 24° 16×16×1",
    "test_files/dicomdirtests/98892003/MR700/4648": "oblique sagittal 8° 16×16×1",
    "test_files/dicomdirtests/98892003/MR700/4678": "oblique sagittal 8° 16×16×1",
    "test_files/examples_jpeg2k.dcm": "picture 1×480×640 colour",
    "test_files/examples_overlay.dcm": "axial 1×300×484",
    "test_files/examples_palette.dcm": "picture 1×350×800 colour",
    "test_files/examples_rgb_color.dcm": "picture 1×240×320 colour",
    "test_files/examples_ybr_color.dcm": "2D stack 30×240×320 colour",
    "test_files/image_dfl.dcm": "picture 1×512×512",
    "test_files/liver_1frame.dcm": "axial 1×512×512",
    "test_files/liver_expb_1frame.dcm": "axial 1×512×512",
    "test_files/rtdose.dcm": "axial 15×10×10",
    "test_files/rtdose_1frame.dcm": "axial 1×10×10",
    "test_files/rtdose_expb.dcm": "axial 15×10×10",
    "test_files/rtdose_expb_1frame.dcm": "axial 1×10×10",
    "test_files/rtdose_rle.dcm": "axial 15×10×10",
    "test_files/rtdose_rle_1frame.dcm": "axial 1×10×10",
}
#: No pixel data, too few, or (badVR) more than its garbled number of frames.
DAMAGED = (
    "charset_files/chrJapMulti.dcm", "charset_files/chrJapMultiExplicitIR6.dcm",
    "charset_files/chrKoreanMulti.dcm", "test_files/JPEG2000-embedded-sequence-delimiter.dcm",
    "test_files/MR_truncated.dcm", "test_files/badVR.dcm",
)  # fmt: skip
#: Reports, plans, structures, palettes, curves: no image in them.
OTHER_OBJECTS = (
    "charset_files/chrSQEncoding.dcm", "charset_files/chrSQEncoding1.dcm", "palettes/fall.dcm",
    "palettes/hotiron.dcm", "palettes/hotmetalblue.dcm", "palettes/pet.dcm",
    "palettes/pet20step.dcm", "palettes/spring.dcm", "palettes/summer.dcm",
    "palettes/winter.dcm", "test_files/ExplVR_BigEndNoMeta.dcm",
    "test_files/ExplVR_LitEndNoMeta.dcm", "test_files/UN_sequence.dcm",
    "test_files/empty_charset_LEI.dcm", "test_files/meta_missing_tsyntax.dcm",
    "test_files/nested_priv_SQ.dcm", "test_files/no_meta_group_length.dcm",
    "test_files/priv_SQ.dcm", "test_files/reportsi.dcm",
    "test_files/reportsi_with_empty_number_tags.dcm", "test_files/rtplan.dcm",
    "test_files/rtplan_truncated.dcm", "test_files/rtstruct.dcm", "test_files/test-SR.dcm",
    "test_files/waveform_ecg.dcm",
)  # fmt: skip
NO_DICOM = (
    "charset_files/FileInfo.txt", "hashes.json", "palettes/README.md", "test_files/README.txt",
    "test_files/crayons.icc", "test_files/dicomdirtests/README.txt", "test_files/no_meta.dcm",
    "test_files/rtplan.dump", "test_files/rtstruct.dump", "test_files/test1.json",
    "test_files/test_PN.json", "urls.json",
)  # fmt: skip
#: Alone, without the files that they name.
DICOMDIRS = (
    "test_files/dicomdirtests/DICOMDIR", "test_files/dicomdirtests/DICOMDIR-bigEnd",
    "test_files/dicomdirtests/DICOMDIR-empty.dcm", "test_files/dicomdirtests/DICOMDIR-implicit",
    "test_files/dicomdirtests/DICOMDIR-nooffset", "test_files/dicomdirtests/DICOMDIR-nopatient",
    "test_files/dicomdirtests/DICOMDIR-reordered",
)  # fmt: skip
OTHERS = {
    "test_files/zipMR.gz": "zipMR.gz: gzip archives are not opened, only zip; unpack it first.",
    "test_files/dicomdirtests/TINY_ALPHA/README": (
        "README: neither a DICOM, NIfTI, PNG nor JPEG file."
    ),
    "test_files/dicomdirtests/TINY_ALPHA/DICOMDIR": None,
}
#: What pydicom shows otherwise, or not at all; tests of the decoders have other oracles for them.
WITHOUT_ORACLE = (
    "test_files/JPEG-lossy.dcm", "test_files/JPGExtended.dcm", "test_files/SC_rgb_rle_32bit.dcm",
    "test_files/SC_rgb_rle_32bit_2frame.dcm",
)  # fmt: skip


def outcome(name: str) -> str | None:
    """What the table says of a file; None where a sentence is all that is asked."""
    short = name.rpartition("/")[2]
    if name in OPENED:
        return OPENED[name]
    if name in DAMAGED:
        return f"{short}: image data incomplete or damaged; skipped."
    if name in OTHER_OBJECTS or "/TINY_ALPHA/PT" in name:
        return f"{short}: a DICOM object without an image; open the folder of the images instead."
    if name in NO_DICOM:
        return f"{short}: neither a DICOM, NIfTI, PNG nor JPEG file."
    if name in DICOMDIRS:
        return None
    return OTHERS[name]


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


@pytest.mark.parametrize("name", FILES)
def test_a_right_image_or_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / Path(name).name
    shutil.copy(ROOT / name, path)
    expected = outcome(name)
    tracemalloc.start()
    try:
        volume = read_volume(path)
    except UnsupportedStudyError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert "Traceback" not in sentence
        if expected is not None:
            assert sentence == expected
        return
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert in_words(volume) == expected
    # A file's header and what a decoder brings along weigh more than a small image.
    assert peak <= 4 * volume.array.nbytes + 8 * 2**20
    if name not in WITHOUT_ORACLE:
        compare(volume, path)


def in_words(volume: Volume) -> str:
    size = "×".join(map(str, volume.shape))
    return f"{volume.plane} {size}" + (" colour" if volume.is_colour else "")


def compare(volume: Volume, path: Path) -> None:
    """Values and place of each pixel, as pydicom reads them from the same file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path, force=True)
        expected = by_pydicom(data)
    expected = expected.reshape(-1, data.Rows, data.Columns, *([3] if volume.is_colour else []))
    array, _ = volume.in_source_order()
    found = np.moveaxis(array, 2, 0).swapaxes(1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if not volume.source.placed:
        return
    right, down = np.reshape(
        [float(x) for x in of_a_frame(data, "ImageOrientationPatient")], (2, 3)
    )
    height, width = (float(x) for x in of_a_frame(data, "PixelSpacing"))
    corner = np.array([float(x) for x in of_a_frame(data, "ImagePositionPatient")])
    to_index = np.linalg.inv(volume.affine)
    for row, column in ((0, 0), (data.Rows - 1, 0), (3, data.Columns - 2)):
        point = corner + right * width * column + down * height * row
        index = (to_index @ [*point, 1])[:3]
        whole = tuple(np.rint(index).astype(int))
        # Direction cosines of real headers are rounded.
        np.testing.assert_allclose(index, whole, atol=0.01)
        assert volume.array[whole] == pytest.approx(expected[0, row, column], rel=1e-6)


def by_pydicom(data: Any) -> np.ndarray:
    pixels = data.pixel_array
    if data.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(pixels, data)
    if data.get("SamplesPerPixel", 1) == 3:
        # pydicom has made RGB of it.
        return pixels
    scale = float(data.get("DoseGridScaling", data.get("RescaleSlope", 1)))
    return pixels * scale + float(data.get("RescaleIntercept", 0))


def of_a_frame(data: Any, keyword: str) -> Any:
    if keyword in data:
        return data[keyword].value
    groups = [data.SharedFunctionalGroupsSequence[0], data.PerFrameFunctionalGroupsSequence[0]]
    for group in groups:
        for element in group:
            if element.VR == "SQ" and keyword in element.value[0]:
                return element.value[0][keyword].value
    raise KeyError(keyword)


def test_the_table_speaks_of_files_that_are_there() -> None:
    named = {*OPENED, *DAMAGED, *OTHER_OBJECTS, *NO_DICOM, *DICOMDIRS, *OTHERS}
    assert named <= set(FILES)


def test_all_files_together_are_listed_without_loss() -> None:
    """The whole tree at once: every image that opens alone is in some series."""
    series = list_series(ROOT)
    listed = {path.relative_to(ROOT).as_posix() for one in series for path in one.files}
    assert len({one.key for one in series}) == len(series)

    def identity(name: str) -> str:
        return str(pydicom.dcmread(ROOT / name, force=True).SOPInstanceUID)

    shown = {identity(name) for name in OPENED if name in listed}
    # One image in other encodings, under one UID, is one image.
    assert [name for name in OPENED if identity(name) not in shown] == []
