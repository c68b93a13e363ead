"""The commands for a cohort, as a person types them."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_ifa import samples
from napari_ifa.analysis import load_analysis
from napari_ifa.cli import main
from tests.signals import heard

BUNDLE = str(samples.bundle("clean"))
COHORT = str(samples.cohort("clean"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis of the validation split, of 9 cases."""
    place = tmp_path_factory.mktemp("cohort")
    options = ["--bundle", BUNDLE, "--cohort", COHORT, "--split", "validation"]
    assert main(["analyze", *options, "-o", str(place / "a.nc")]) == 0
    return place


def test_five_commands_lead_from_images_to_a_report(folder: Path, capsys) -> None:
    analysis = str(folder / "a.nc")
    cases = ["--bundle", BUNDLE, "--cohort", COHORT, "--split", "validation"]
    evaluation, findings = str(folder / "evaluation"), str(folder / "findings")
    report = folder / "report.html"

    assert main(["evaluate", "--analysis", analysis, *cases, "--top", "10%", "-o", evaluation]) == 0
    assert main(["findings", analysis, analysis, *cases, "-o", findings]) == 0
    made = ["report", analysis, "--evaluation", evaluation, "--findings", findings]
    assert main([*made, "--tables", str(folder / "tables"), "-o", str(report)]) == 0

    said = capsys.readouterr().out
    assert "Accuracy after feature masking: The accuracy over 9 cases is" in said
    assert "Confounder candidates: " in said
    assert "top 10 % of each class" in said
    for name in ("consistency", "masking_curve", "localisation", "average_drop"):
        for suffix in ("csv", "json", "md", "png", "svg"):
            assert (folder / "evaluation" / f"{name}.{suffix}").stat().st_size > 0
    assert (folder / "findings" / "confounder_maps.png").is_file()
    redundancy = (folder / "findings" / "summary.md").read_text("utf-8")
    # nine cases cannot rule a point out
    assert "takes 299 independent cases, and there are 9" in redundancy
    assert (folder / "findings" / "feature_removal.csv").is_file()
    assert (folder / "findings" / "redundancy.png").is_file()
    for name in ("cohort", "accuracy", "scale", "importance"):
        assert (folder / "tables" / f"{name}.csv").is_file()
    assert (folder / "tables" / "importance.svg").is_file()
    page = report.read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    for title in ("Consistency of maps and answers", "Confounder candidates", "Masking curve"):
        assert title in page


def test_results_of_another_target_are_told_apart(folder: Path, tmp_path: Path, capsys) -> None:
    analysis = str(folder / "a.nc")
    cases = ["--bundle", BUNDLE, "--cohort", COHORT, "--split", "validation"]
    others = ["--compare-with", "others"]
    evaluation = str(tmp_path / "evaluation")
    options = ["--scale", "centred", "--basis", "auto", "--scope", "all", *others]
    assert main(["evaluate", "--analysis", analysis, *cases, *options, "-o", evaluation]) == 0
    capsys.readouterr()
    report = ["report", analysis, "--evaluation", evaluation]

    assert main([*report, *others, "-o", str(tmp_path / "others.html")]) == 0
    assert main([*report, "-o", str(tmp_path / "logit.html")]) == 2

    assert "compared with 'others', and what is asked for is of 'logit'" in capsys.readouterr().err
    page = (tmp_path / "others.html").read_text("utf-8")
    assert "centred scale, basis auto" in page
    assert "one scale for all classes" in page


def test_a_class_is_compared_with_where_it_was_counted(tmp_path: Path, capsys) -> None:
    cases = ["--bundle", BUNDLE, "--cohort", COHORT, "--split", "validation"]
    pair = ["--compare-with", "dark lesion"]
    path = str(tmp_path / "pair.nc")
    assert main(["analyze", *cases, *pair, "-o", path]) == 0
    assert load_analysis(path).held_targets == ("logit", "others", "runner-up", "class 2")
    capsys.readouterr()
    named = ["--compare-with", "2"]
    evaluation, found, page = (str(tmp_path / name) for name in ("e", "f", "r.html"))
    assert main(["evaluate", "--analysis", path, *cases, *named, "-o", evaluation]) == 0
    assert main(["findings", path, *named, "-o", found]) == 0
    parts = ["--evaluation", evaluation, "--findings", found]
    assert main(["report", path, *parts, *named, "-o", page]) == 0
    told = "compared with 'dark lesion', which therefore has no numbers"
    assert told in capsys.readouterr().out
    assert told in html.unescape(Path(page).read_text("utf-8"))
    assert main(["findings", path, "--compare-with", "healthy", "-o", str(tmp_path / "f")]) == 2
    assert "with 'healthy' among its targets" in capsys.readouterr().err


def test_nothing_is_left_of_the_way_to_an_analysis(folder: Path) -> None:
    assert [file.name for file in folder.glob("a.nc*")] == ["a.nc"]


def test_an_interrupted_analysis_is_resumed_on_request(folder, monkeypatch, capsys) -> None:
    import napari_ifa.analysis.run as run

    options = ["analyze", "--bundle", BUNDLE, "--cohort", COHORT, "--split", "validation"]
    options += ["--batch-size", "2", "-o", str(folder / "b.nc")]
    monkeypatch.setattr(run, "SHARD_CASES", 3)
    computed: list[int] = []
    original = run.compute_shard

    def interrupted(classifier, task, *others, **more):
        computed.append(task.number)
        if task.number == 2 and computed.count(2) == 1:
            raise KeyboardInterrupt
        return original(classifier, task, *others, **more)

    monkeypatch.setattr(run, "compute_shard", interrupted)

    assert main(options) == 2
    assert capsys.readouterr().err.endswith(
        "Stopped after 6 of 9 cases, which are kept in b.nc.parts; the same command with --resume"
        " goes on.\n"
    )
    assert not (folder / "b.nc").exists()
    assert main(options) == 2
    assert "go on with it by --resume, or remove it" in capsys.readouterr().err
    assert main([*options, "--resume"]) == 0
    assert computed == [0, 1, 2, 2], "finished shards are not computed again"
    assert not (folder / "b.nc.parts").exists()
    assert len(load_analysis(folder / "b.nc").case_ids) == 9


def test_ctrl_c_stops_the_workers_with_one_line(folder: Path) -> None:
    """The terminal sends it to every process of the group."""
    outcomes = (interrupted(folder / str(attempt)) for attempt in range(5))
    # On a busy machine all may be done before the interrupt comes.
    code, said = next(outcome for outcome in outcomes if outcome[0] != 0)

    assert code == 2, said
    (line,) = said.splitlines()
    told = re.fullmatch(
        r"napari-ifa: Stopped after (\d+) of (\d+) cases, which are kept in c\.nc\.parts; the same"
        r" command with --resume goes on\.",
        line,
    )
    assert told, line
    assert 0 < int(told[1]) <= int(told[2])


def interrupted(folder: Path) -> tuple[int, str]:
    """Exit code and errors of an analysis by two workers, interrupted after its first shard."""
    folder.mkdir()
    options = ["analyze", "--bundle", BUNDLE, "--cohort", COHORT, "--workers", "2"]
    command = [sys.executable, "-m", "napari_ifa.cli", *options, "-o", str(folder / "c.nc")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heard,
    )
    begun = time.monotonic()
    while not list(folder.glob("c.nc.parts/shard_*")) and time.monotonic() < begun + 120:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1].strip()
    return process.returncode, said


def test_skipped_cases_and_duplicates_are_told(tmp_path: Path, capsys) -> None:
    content = json.loads(Path(COHORT).read_text("utf-8"))
    entries = content["validation"][:4]
    for number, entry in enumerate(entries):
        shutil.copy(Path(COHORT).parent / entry["image"], tmp_path / f"{number}.nii.gz")
        entry["image"] = f"{number}.nii.gz"
    shutil.copy(tmp_path / "0.nii.gz", tmp_path / "1.nii.gz")
    (tmp_path / "3.nii.gz").write_bytes(b"no image")
    rows = [f"{entry['image']},{entry['label']}" for entry in entries]
    (tmp_path / "cases.csv").write_text("\n".join(["image,label", *rows]))
    options = ["analyze", "--bundle", BUNDLE, "--cohort", str(tmp_path / "cases.csv")]
    options += ["-o", str(tmp_path / "a.nc")]

    assert main(options) == 2
    assert "Case 3.nii.gz cannot be used" in capsys.readouterr().err
    assert not list(tmp_path.glob("a.nc*")), "nothing half-written is left"
    assert main([*options, "--skip-up-to", "25%"]) == 0
    said = capsys.readouterr().out
    assert "3 cases (all splits) analysed" in said
    assert "1 skipped: 3.nii.gz: " in said
    assert "1 image stands in the cohort more than once: 0.nii.gz = 1.nii.gz" in said
    counted = re.search(r"Classes of the cases analysed: (.*)\.", said)
    assert counted
    assert sum(map(int, re.findall(r"\((\d+)\)", counted[1]))) == 3
    assert "\nClasses: " not in said, "it counts the skipped case"
    evaluate = ["evaluate", *options[1:5], "--analysis", str(tmp_path / "a.nc")]
    evaluate += ["-o", str(tmp_path / "e")]
    assert main(evaluate) == 2
    capsys.readouterr()
    assert main([*evaluate, "--skip-up-to", "25%"]) == 0
    assert "What was left out" in capsys.readouterr().out


@pytest.mark.parametrize("out", [".", "taken"])
@pytest.mark.parametrize("command", ["analyze", "report"])
def test_a_folder_in_place_of_a_file_is_refused_before_any_work(
    command: str, out: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    first = {"analyze": ["--bundle", "none", "--cohort", "none"], "report": ["none.nc"]}[command]

    assert main([command, *first, "-o", out]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"napari-ifa: {out} is a folder; give a file's name, such as ")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_report_tells_the_cohorts_and_takes_no_folder_of_another_kind(
    folder: Path, tmp_path: Path, capsys
) -> None:
    analysis, found, page = str(folder / "a.nc"), str(tmp_path / "f"), tmp_path / "r.html"
    assert main(["findings", analysis, "--top", "10%", "-o", found]) == 0
    assert "Redundancy is not measured" in capsys.readouterr().out
    name = load_analysis(analysis).dataset.attrs["cohort_name"]
    top = (tmp_path / "f" / "summary.md").read_text("utf-8").splitlines()[2]
    assert top == f"Of {name}, split validation, top 10 %."

    assert main(["report", analysis, "--evaluation", found, "-o", str(page)]) == 2
    said = capsys.readouterr().err
    assert "was written by napari-ifa findings, not by evaluate" in said
    assert len(said.strip().splitlines()) == 1

    other = load_analysis(analysis)
    other.dataset.attrs["model_weights"] = "others"
    other.save(tmp_path / "other.nc")
    tables = ["--tables", str(tmp_path / "t")]
    other_file = str(tmp_path / "other.nc")
    assert main(["report", other_file, "--findings", found, *tables, "-o", str(page)]) == 2
    assert "another model or method than the analysis: weights differ" in capsys.readouterr().err
    assert not page.exists()
    assert not (tmp_path / "t").exists()

    assert main(["report", analysis, "--findings", found, "-o", str(page)]) == 0
    assert top in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["findings", "missing.nc", "-o", "x"], "missing.nc: no such file"),
        (["findings", "a.nc", "--bundle", BUNDLE, "-o", "x"], "give --bundle and --cohort"),
        (["report", "a.nc", "--evaluation", "nowhere", "-o", "x.html"], "nowhere"),
        (
            ["analyze", "--bundle", BUNDLE, "--cohort", COHORT, "--split", "none", "-o", "x.nc"],
            "has no split 'none'",
        ),
        (
            [
                *["evaluate", "--bundle", str(samples.bundle("confounded")), "--analysis", "a.nc"],
                *["--cohort", COHORT, "-o", "x"],
            ],
            "made with another model: weights",
        ),
    ],
    ids=["no analysis", "half a model", "no evaluation", "no split", "other model"],
)
def test_bad_input_is_one_line_and_nothing_written(
    arguments, reason, folder, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(folder)

    assert main(arguments) == 2

    said = capsys.readouterr().err.strip()
    assert reason in said
    assert len(said.splitlines()) == 1
    assert not list(folder.glob("x*"))


@pytest.mark.parametrize("text", ["150%", "-1", "half"])
def test_a_share_that_is_none_is_refused(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["findings", "a.nc", "--top", text, "-o", "x"])
    assert f"'{text}' is no share" in capsys.readouterr().err
