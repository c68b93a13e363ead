from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.analysis.colour import evidence_strength
from napari_ifa.cli import main
from napari_ifa.export.picture import usual_cam
from napari_ifa.reading import Series, SeriesList, Skipped
from tests.signals import heard


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that ``napari-ifa demo`` has written."""
    out = tmp_path_factory.mktemp("demo")
    assert main(["demo", "--out", str(out)]) == 0
    return out


def cases(folder: Path, split: str, label: str) -> list[Path]:
    datalist = json.loads(samples.cohort("clean").read_text())
    names = ifa.load_classifier(samples.bundle("clean")).class_names
    return [
        samples.cohort("clean").parent / entry["image"]
        for entry in datalist[split]
        if names[entry["label"]] == label
    ]


def test_the_demo_leaves_analysis_maps_picture_and_tables(demo: Path) -> None:
    found = {path.name for path in demo.iterdir()}

    assert {"analysis.nc", "comparison.png", "test_split.csv", "test_split.json"} <= found
    for case in ("bright_lesion", "healthy"):
        assert f"{case}_s_cam_bright_lesion.nii.gz" in found
        assert f"{case}_class_activation_bright_lesion.nii.gz" in found
    assert not [name for name in found if ".part" in name]


def test_the_demos_table_reports_the_evidence_inside_the_lesions(demo: Path) -> None:
    with (demo / "test_split.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lesions = [row for row in rows if row["class"] != "healthy"]

    assert sum(row["predicted"] == row["class"] for row in rows) > 0.9 * len(rows)
    share = np.mean([float(row["positive_share_in_lesion"]) for row in lesions])
    filled = np.mean([float(row["lesion_share_of_image"]) for row in lesions])
    assert share > 5 * filled, "the evidence gathers where the lesion is"


def test_on_the_common_scale_the_healthy_case_is_paler_and_on_its_own_it_is_not(demo: Path) -> None:
    """What the paper claims, and what the demo's picture shows."""
    classifier = ifa.load_classifier(samples.bundle("clean"))
    analysis = ifa.load_analysis(demo / "analysis.nc", classifier)
    evidence: dict[str, list[float]] = {"healthy": [], "bright lesion": []}
    stretched: dict[str, list[float]] = {"healthy": [], "bright lesion": []}
    for label in evidence:
        for path in cases(demo, "test", label):
            found = ifa.explain(classifier, ifa.read_volume(path), analysis, "bright lesion")
            strength = evidence_strength(found.s_cam.array, found.scale.neutral)
            evidence[label].append(float(np.nanmax(strength)))
            stretched[label].append(float(np.nanmax(usual_cam(found.class_activation.array))))

    assert np.mean(evidence["healthy"]) < 0.6 * np.mean(evidence["bright lesion"])
    assert np.mean(stretched["healthy"]) == pytest.approx(np.mean(stretched["bright lesion"]))


@pytest.mark.parametrize("features", ["all", "top:5%", "only:1,2", "not:3"])
def test_explain_writes_s_cam_on_the_sources_grid(
    features: str, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = cases(demo, "test", "bright lesion")[0]
    bundle, analysis = str(samples.bundle("clean")), str(demo / "analysis.nc")
    model = ["--bundle", bundle, "--analysis", analysis]
    choice = ["--class", "bright lesion", "--features", features]

    code = main(["explain", *model, str(image), *choice, "-o", str(tmp_path)])

    assert code == 0
    chosen = {"all": "", "top:5%": "_top_5", "only:1,2": "_only_1_2", "not:3": "_not_3"}[features]
    kind = "fs_" if chosen else ""
    written = nibabel.load(tmp_path / f"{kind}s_cam_bright_lesion{chosen}.nii.gz")
    source = nibabel.load(image)
    assert written.shape == source.shape
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
    rows = json.loads((tmp_path / f"{kind}prediction_bright_lesion{chosen}.json").read_text())
    # What a study is read with: all other classes, and the centred scale of the strongest places.
    (of_map,) = [row for row in rows if row["explained"]]
    assert of_map["compared_with"] == "all others"
    assert (of_map["scale_form"], of_map["scale_basis"]) == ("centred", "extremes")
    assert of_map["scale_low"].startswith("-P90 = -")
    assert {row["compared_with"] for row in rows if row is not of_map} == {""}
    assert b"bright lesion against all others" in bytes(written.header["descrip"])
    assert sum(row["probability"] for row in rows) == pytest.approx(1.0)
    changed = any(row["logit"] != pytest.approx(row["masked_logit"]) for row in rows)
    assert changed is (features != "all")
    assert f"{kind}s_cam_bright_lesion{chosen}.nii.gz" in capsys.readouterr().out


def test_explain_writes_dicom_that_lies_on_the_source(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = samples.dicom_series()
    bundle, analysis = str(samples.bundle("clean")), str(demo / "analysis.nc")
    model = ["--bundle", bundle, "--analysis", analysis, "--class", "bright lesion"]

    assert main(["explain", *model, str(folder), "--dicom", "-o", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    written = tmp_path / "s_cam_bright_lesion.dcm"
    pictures = tmp_path / "s_cam_bright_lesion_secondary_capture"
    assert str(written) in said
    assert str(pictures) in said
    source = ifa.read_volume(folder)
    assert len(list(pictures.iterdir())) == source.shape[source.source.axes.index(2)]
    # The NIfTI export of the same map, at the points of the Parametric Map's grid.
    found, same = (
        hd.imread(written).get_volume(),
        nibabel.load(tmp_path / (written.stem + ".nii.gz")),
    )
    to_nifti = np.linalg.inv(same.affine) @ np.diag([-1, -1, 1, 1]) @ found.affine
    index = (
        np.stack(np.indices(found.spatial_shape), axis=-1) @ to_nifti[:3, :3].T + to_nifti[:3, 3]
    )
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    expected = same.get_fdata()[tuple(np.rint(index).astype(int).transpose(3, 0, 1, 2))]
    np.testing.assert_allclose(found.array, expected, atol=1e-6)


def test_dicom_of_a_nifti_image_is_refused_before_any_work(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = cases(demo, "test", "healthy")[0]
    model = ["--bundle", str(samples.bundle("clean")), "--analysis", str(demo / "analysis.nc")]

    assert main(["explain", *model, str(image), "--dicom", "-o", str(tmp_path / "out")]) == 2

    assert "does not come from DICOM" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_explain_without_an_analysis_says_that_maps_do_not_compare(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = cases(demo, "test", "healthy")[0]
    assert (
        main(["explain", "--bundle", str(samples.bundle("clean")), str(image), "-o", str(tmp_path)])
        == 0
    )
    assert "no common scale" in capsys.readouterr().out
    assert not list(tmp_path.glob("*s_cam*"))
    assert list(tmp_path.glob("class_activation_*.nii.gz"))


def test_series_are_listed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(samples.dicom_series())
    assert main(["series", folder]) == 0
    text = capsys.readouterr().out
    assert "MR" in text
    assert main(["series", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["series"]
    assert found["skipped"] == []
    assert row["key"] in text
    assert row["modality"] == "MR"
    assert row["images"] == row["shape_ipl"][0]
    assert row["unsupported"] is None


def test_series_says_all_that_a_person_needs_to_choose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = SeriesList(
        [
            Series(
                key="0a1b2c3d", path=tmp_path, kind="dicom", modality="MR", description="EPI кость",
                part="time 1 of 2", number=5, image_count=15, shape=(15, 64, 64),
                spacing=(3.0, 2.5, 2.5), orientation="axial", notes=("Series 5: a note.",),
            ),
            Series(key="1a1b2c3d", path=tmp_path, kind="dicom", question="Series 6: as 2D stack?"),
            Series(key="2a1b2c3d", path=tmp_path, kind="dicom", alternative=True),
            Series(key="3a1b2c3d", path=tmp_path, kind="image", unsupported="a.png: damaged."),
        ],
        [Skipped("DICOM without an image", 2, ("a", "b"))],
    )  # fmt: skip
    monkeypatch.setattr("napari_ifa.reading.list_series", lambda *_, **__: shown)
    assert main(["series", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0a1b2c3d  MR  5 EPI кость, time 1 of 2: 15 images, 15 × 64 × 64, 3.00 × 2.50 × 2.50 mm,"
        " axial",
        "          note: Series 5: a note.",
        "1a1b2c3d  –   –: 1 image, –, –, –",
        "          asks first: Series 6: as 2D stack?",
        "2a1b2c3d  –   –: 1 image, –, –, –",
        "          another way to see an image of this list; opened only by its key",
        "3a1b2c3d  –   –: 1 image, –, –, –",
        "          not opened: a.png: damaged.",
        "Left out: 2 DICOM without an image.",
    ]  # fmt: skip
    assert main(["series", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["part"] for row in found["series"]] == ["time 1 of 2", "", "", ""]
    assert [row["alternative"] for row in found["series"]] == [False, False, True, False]
    assert found["series"][1]["question"] == "Series 6: as 2D stack?"
    assert found["skipped"] == [
        {"reason": "DICOM without an image", "count": 2, "names": ["a", "b"]}
    ]


def test_explain_says_with_which_option_a_series_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(samples.dicom_series(), tmp_path / "study")
    for path in shutil.copytree(folder, folder / "again").iterdir():
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID, data.SOPInstanceUID = "1.2.3", pydicom.uid.generate_uid()
        data.save_as(path)
    bundle = str(samples.bundle("clean"))
    assert main(["explain", "--bundle", bundle, str(folder), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "--series KEY" in said
    assert all(series.key in said for series in ifa.list_series(folder))


def test_explain_says_what_was_corrected_in_the_image_and_writes_it_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Distances of 4 mm, and one of 5.6: neither equal nor a whole number of steps.
    folder = tmp_path / "series"
    for path in shutil.copytree(samples.dicom_series(), folder).iterdir():
        data = pydicom.dcmread(path)
        if data.InstanceNumber > 10:
            row, column = np.reshape(np.array(data.ImageOrientationPatient, float), (2, 3))
            positions = np.array(data.ImagePositionPatient, float) + 1.6 * np.cross(row, column)
            data.ImagePositionPatient = [f"{place:.6f}" for place in positions]
            data.save_as(path)
    out = tmp_path / "out"
    model = ["--bundle", str(samples.bundle("clean"))]
    assert main(["explain", *model, str(folder), "--dicom", "-o", str(out)]) == 0

    said = capsys.readouterr().out
    assert re.search(r"slice distances vary \((2\.40–4\.00|4\.00–5\.60) mm\)\.", said)
    assert "do not measure on it" in said
    row = json.loads(next(out.glob("prediction_*.json")).read_text())[0]
    assert row["image"].endswith(" · slices interpolated")
    comment = pydicom.dcmread(next(out.glob("*.dcm"))).ImageComments
    assert f"; image {row['image']}; " in comment


def test_a_case_is_explained_against_other_classes(tmp_path: Path) -> None:
    bundle, cohort = str(samples.bundle("clean")), str(samples.cohort("clean"))
    analysis = str(tmp_path / "a.nc")
    options = ["--bundle", bundle, "--cohort", cohort, "--split", "validation", "-o", analysis]
    assert main(["analyze", *options]) == 0
    out = tmp_path / "maps"
    words = ["explain", "--bundle", bundle, str(samples.dicom_series()), "--analysis", analysis]
    words += ["--compare-with", "runner-up", "--scale", "centred", "--basis", "auto", "--dicom"]
    assert main([*words, "-o", str(out)]) == 0
    rows = json.loads(next(out.glob("prediction_*.json")).read_text())
    (row,) = [row for row in rows if row["explained"]]
    assert row["compared_with"].startswith("the runner-up, ")
    assert (row["scale_form"], row["scale_basis"]) == ("centred", "extremes")
    assert row["scale_low"].startswith("-P90 = -")
    described = pydicom.dcmread(next(out.glob("*.dcm")), stop_before_pixels=True)
    frame = described.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert f"against {row['compared_with']}" in frame.DerivationDescription
    assert "centred, -P90" in frame.DerivationDescription


def test_missing_slices_are_refused_with_the_option_that_allows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(samples.dicom_series(), tmp_path / "series")
    next(path for path in folder.iterdir() if pydicom.dcmread(path).InstanceNumber == 5).unlink()
    words = ["explain", "--bundle", str(samples.bundle("clean")), str(folder)]
    assert main([*words, "-o", str(tmp_path / "out")]) == 2
    assert "The option for that is --allow-missing." in capsys.readouterr().err

    assert main([*words, "--allow-missing", "-o", str(tmp_path / "out")]) == 0
    assert "The model was run on the blank slices too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["series", "MILLER_ANNA/IM1", "MILLER_ANNA/IM2"], "more paths were given than are taken"),
        (["series", "x", "--speed=MILLER"], "there is no option --speed here"),
        (["explain", "MILLER_ANNA"], "--bundle, -o/--out"),
    ],
)
def test_wrong_words_end_with_code_2_and_one_line_without_the_paths(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert reason in said
    assert said.count("\n") == 1
    assert "MILLER" not in said


def test_a_folder_called_by_the_patient_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "MILLER_ANNA_19310203"
    model = ["explain", "--bundle", str(samples.bundle("clean"))]
    (folder / "empty").mkdir(parents=True)
    (folder / "letter").write_text("Dear colleague")
    for words in (
        ["series", str(folder)],
        ["series", str(folder / "MILLER_ANNA")],
        [*model, str(folder), "-o", "out"],
        [*model, str(folder), "-o", str(folder / "letter" / "MILLER")],
    ):
        assert main(words) == 2
        said = "".join(capsys.readouterr())
        assert "MILLER" not in said
        assert str(tmp_path) not in said


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="these signals are Unix's")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_who_ends_the_program_leaves_no_unpacked_study_behind(name: str, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", samples.dicom_series())
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    # Reading goes on for ever once all is unpacked.
    program = (
        "import time, napari_ifa.reading as reading\n"
        "from napari_ifa.reading.reader import list_series\n"
        "def slow(*words, **more):\n"
        "    kept = list_series(words[0])\n"
        "    print('unpacked', flush=True)\n"
        "    time.sleep(60)\n"
        "reading.list_series = slow\n"
        "from napari_ifa.cli import main\n"
        f"raise SystemExit(main(['series', {archive!r}]))\n"
    )
    environment = os.environ | {"TMPDIR": str(unpacked)}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=heard,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "unpacked\n"
        assert list(unpacked.iterdir())
        process.send_signal(getattr(signal, name))
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (2, "napari-ifa: Stopped.\n")
    assert not list(unpacked.iterdir())


def test_names_with_a_terminals_commands_are_only_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    for name in ("a\x1b[2Jb", "c\x9b2Jd"):
        nibabel.save(image, tmp_path / f"{name}.nii")
    assert main(["series", str(tmp_path)]) == 0
    assert (
        main(["explain", "--bundle", str(samples.bundle("clean")), str(tmp_path), "-o", "x"]) == 2
    )
    said = capsys.readouterr()
    assert "   a [2Jb: 2 images, " in said.out
    assert "(a [2Jb, 2 images)" in said.err
    assert (said.out + said.err).replace("\n", "").isprintable()


def test_series_of_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shutil.make_archive(str(tmp_path / "study"), "zip", samples.dicom_series())
    assert main(["series", path]) == 0
    assert capsys.readouterr().out.split()[1] == "MR"


def test_analyze_writes_a_file_that_explain_accepts(tmp_path: Path) -> None:
    bundle, out = str(samples.bundle("clean")), tmp_path / "a.nc"
    cohort = str(samples.cohort("clean"))
    assert (
        main(
            [
                "analyze",
                "--bundle",
                bundle,
                "--cohort",
                cohort,
                "--split",
                "validation",
                "--method",
                "pixelwise",
                "-o",
                str(out),
            ]
        )
        == 0
    )

    analysis = ifa.load_analysis(out, ifa.load_classifier(bundle))
    assert analysis.method == "pixelwise"
    assert analysis.cases.sizes["case"] == len(ifa.read_cohort(cohort, "validation"))


BUNDLE = "{bundle}"
BAD_INPUT = {
    "no such folder": (["series", "nowhere"], "no such file or folder"),
    "no such bundle": (["explain", "--bundle", "nowhere", "{image}", "-o", "out"], "not a folder"),
    "no such image": (["explain", "--bundle", BUNDLE, "nowhere.nii", "-o", "out"], "no such file"),
    "no such class": (
        ["explain", "--bundle", BUNDLE, "{image}", "--class", "flu", "-o", "out"],
        "no class 'flu'",
    ),
    "no such layer": (
        ["explain", "--bundle", BUNDLE, "--layer", "x", "{image}", "-o", "out"],
        "no spatial layer 'x'",
    ),
    "no such device": (
        ["explain", "--bundle", BUNDLE, "--device", "abacus", "{image}", "-o", "out"],
        "device 'abacus' cannot be used",
    ),
    "a device that needs a package of its own": (
        ["explain", "--bundle", BUNDLE, "--device", "hpu", "{image}", "-o", "out"],
        "device 'hpu' cannot be used",
    ),
    "an analysis of another model": (
        ["explain", "--bundle", "{other}", "--analysis", "{analysis}", "{image}", "-o", "out"],
        "made with another model",
    ),
    "top features of no cohort": (
        ["explain", "--bundle", BUNDLE, "{image}", "--features", "top:5%", "-o", "out"],
        "give its analysis",
    ),
    "a place that cannot be written": (
        ["analyze", "--bundle", BUNDLE, "--cohort", "{cohort}", "-o", "{image}/a.nc"],
        "cannot be written there (Not a directory); choose another place",
    ),
    "a feature too many": (
        ["explain", "--bundle", BUNDLE, "{image}", "--features", "only:100000", "-o", "out"],
        "no feature 100000",
    ),
    "no such method": (
        ["analyze", "--bundle", BUNDLE, "--cohort", "{cohort}", "--method", "x", "-o", "out"],
        "no method 'x'",
    ),
    "a study that the window cannot open": (["view", "nowhere"], "no such file or folder"),
    "no such split": (
        ["analyze", "--bundle", BUNDLE, "--cohort", "{cohort}", "--split", "x", "-o", "out"],
        "no split 'x'",
    ),
}


@pytest.mark.parametrize(("words", "reason"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_ends_with_code_2_one_line_and_nothing_written(
    words: list[str],
    reason: str,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {
        "bundle": samples.bundle("clean"),
        "other": samples.bundle("confounded"),
        "analysis": demo / "analysis.nc",
        "image": cases(demo, "test", "healthy")[0],
        "cohort": samples.cohort("clean"),
    }

    assert main([word.format(**places) for word in words]) == 2

    said = capsys.readouterr()
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "words", "reason"),
    [
        *(("--features", w, "write all, top:5%, only:1,2 or not:3") for w in ("best", "top:5")),
        *(("--features", w, "says no choice") for w in ("top:0", "only:", "not:1e3", "all:1")),
        *(("--percentiles", w, "are no percentiles") for w in ("nan,nan", "5", "1,200")),
        *(("-o", w, "path is empty") for w in ("", " ")),
    ],
)
def test_words_that_say_nothing_are_refused_before_anything_is_read(
    option: str, words: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--bundle", "nowhere", "nowhere", "-o", "out", option, words])

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--batch-size", "--workers"])
@pytest.mark.parametrize("words", ["0", "-1", "1.5", "nan", "9" * 30])
def test_numbers_that_cannot_be_are_refused(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["analyze", "--bundle", "b", "--cohort", "c", "-o", "out", option, words])

    assert "is no number of" in capsys.readouterr().err


def test_every_method_stands_in_the_help(capsys):
    from napari_ifa.cam import METHODS

    with pytest.raises(SystemExit):
        main(["analyze", "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace(";", " ").split()
    assert set(METHODS) <= set(words)


def test_every_method_is_offered() -> None:
    from napari_ifa.cam import METHODS
    from napari_ifa.cli.parser import METHODS as OFFERED

    assert sorted(OFFERED) == sorted(METHODS)


def test_a_scope_without_a_cohort_is_refused(tmp_path: Path, capsys) -> None:
    image = cases(tmp_path, "test", "healthy")[0]
    bundle = str(samples.bundle("clean"))

    assert main(["explain", "--bundle", bundle, str(image), "--scope", "all", "-o", "x"]) == 2
    assert "give its analysis with --analysis" in capsys.readouterr().err


def test_a_bundle_that_does_not_say_how_it_answers_is_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(samples.bundle("clean"), tmp_path / "silent")
    inference = bundle / "configs" / "inference.json"
    config = json.loads(inference.read_text())
    del config["postprocessing"]
    inference.write_text(json.dumps(config))
    image = samples.cohort("clean").parent / "clean" / "head_001.nii.gz"
    command = ["explain", "--bundle", str(bundle), str(image), "-o"]

    assert main([*command, str(tmp_path / "without")]) == 0
    assert "choose by --activation" in capsys.readouterr().out
    (table,) = (tmp_path / "without").glob("prediction_*.json")
    assert "the bundle does not say" in table.read_text()

    assert main([*command, str(tmp_path / "with"), "--activation", "softmax"]) == 0
    assert "--activation" not in capsys.readouterr().out
    (table,) = (tmp_path / "with").glob("prediction_*.json")
    assert "the bundle does not say" not in table.read_text()
