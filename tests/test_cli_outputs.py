"""What commands write: never over something else unasked, one run at a time."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import napari_ifa.cli.cohort as cohort_commands
from napari_ifa import samples
from napari_ifa.analysis import finished_parts, load_analysis
from napari_ifa.cli import main
from napari_ifa.disk import claimed
from napari_ifa.disk.claim import Claim
from napari_ifa.models import Classifier
from tests.tiny import write_cohort

BUNDLE = str(samples.bundle("clean"))
THESIS = b"PK\x03\x04 my thesis \0"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cohort of tiny images for a tiny model, in the folder where commands run."""
    from tests.tiny import tiny_classifier

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    cases = [([float(n + k) for k in range(8)], n % 2) for n in range(6)]
    write_cohort(tmp_path / "in", cases)
    (tmp_path / "bundle").mkdir()
    monkeypatch.setattr(cohort_commands, "loaded_classifier", lambda options: tiny_classifier())
    return tmp_path


COHORT = ["--bundle", "bundle", "--cohort", "in/datalist.json", "--skip-up-to", "100%"]


def analyze(*more: str, out: str = "a.nc") -> list[str]:
    return ["analyze", *COHORT, "-o", out, *more]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_command_again_replaces_its_own_result(capsys) -> None:
    assert main(analyze()) == 0
    assert main(analyze()) == 0


def test_an_analysis_of_something_else_is_replaced_only_by_overwrite(here: Path, capsys) -> None:
    assert main(analyze()) == 0
    before = Path("a.nc").read_bytes()
    Path("in/computed").touch()
    for other in (["--method", "pixelwise"], ["--profiles", "none"]):
        capsys.readouterr()
        assert main(analyze(*other)) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert "a.nc exists already" in said.err
        assert "--overwrite" in said.err
        assert "cases" not in said.err, "no work was done"
        assert Path("a.nc").read_bytes() == before
    assert main(analyze("--profiles", "none", "--overwrite")) == 0
    assert "contribution" not in load_analysis("a.nc").dataset
    assert names(here) == ["a.nc", "bundle", "in"]


def test_a_file_of_a_person_is_never_replaced(here: Path, capsys) -> None:
    Path("thesis.docx").write_bytes(THESIS)
    for more in ([], ["--overwrite"]):
        assert main(analyze(*more, out="thesis.docx")) == 2
        assert "thesis.docx exists already and is no analysis file" in capsys.readouterr().err
    assert main(analyze()) == 0
    assert main(["report", "a.nc", "-o", "thesis.docx", "--overwrite"]) == 2
    for command in (["findings", "a.nc"], ["evaluate", *COHORT, "--analysis", "a.nc"], ["demo"]):
        option = "--out" if command == ["demo"] else "-o"
        assert main([*command, option, "thesis.docx", "--overwrite"]) == 2
        assert "is a file; give a folder" in capsys.readouterr().err
    assert Path("thesis.docx").read_bytes() == THESIS


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_what_is_read_is_never_written(here: Path, capsys) -> None:
    assert main(analyze()) == 0
    shutil.copy("a.nc", "b.nc")
    os.symlink("in/datalist.json", "link.nc")
    os.link("in/datalist.json", "hard.nc")
    os.symlink("b.nc", "b_link.html")
    kept = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    report = ["report", "a.nc", "b.nc", "-o"]
    for command in (
        analyze("--overwrite", out="in/datalist.json"),
        analyze("--overwrite", out="in/../in/datalist.json"),
        analyze("--overwrite", out="link.nc"),
        analyze("--overwrite", out="hard.nc"),
        [*report, "b.nc", "--overwrite"],
        [*report, "b_link.html", "--overwrite"],
        ["evaluate", *COHORT, "--analysis", "a.nc", "-o", "bundle", "--overwrite"],
    ):
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert "written over what they are made from" in said
        assert said.count("\n") == 1
        assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_of_results_of_something_else_is_kept(here: Path, capsys) -> None:
    assert main(analyze()) == 0
    assert main(analyze("--method", "pixelwise", out="b.nc")) == 0
    out = Path("found")
    assert main(["findings", "a.nc", "-o", "found"]) == 0
    (out / "letter.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(["findings", "a.nc", "-o", "found"]) == 0, "the same work"
    capsys.readouterr()

    assert main(["findings", "b.nc", "-o", "found"]) == 2
    said = capsys.readouterr().err
    assert "--overwrite" in said
    assert said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert main(["report", "b.nc", "--tables", "found", "-o", "r.html"]) == 2
    assert not Path("r.html").exists()

    assert main(["findings", "b.nc", "-o", "found", "--overwrite"]) == 0
    assert (out / "letter.txt").read_text() == "mine"
    assert (out / "sections.json").read_bytes() != before["sections.json"]


def test_a_report_is_replaced_only_by_overwrite(capsys) -> None:
    assert main(analyze()) == 0
    assert main(["report", "a.nc", "-o", "r.html"]) == 0
    before = Path("r.html").read_bytes()
    assert main(["report", "a.nc", "-o", "r.html"]) == 2
    assert "r.html exists already" in capsys.readouterr().err
    assert Path("r.html").read_bytes() == before
    assert main(["report", "a.nc", "-o", "r.html", "--overwrite"]) == 0


def interrupt_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    import napari_ifa.analysis.run as run

    original = run.compute_shard
    monkeypatch.setattr(run, "SHARD_CASES", 2)

    def interrupted(classifier: Classifier, task, *others, **more):
        if task.number == shards:
            raise KeyboardInterrupt
        return original(classifier, task, *others, **more)

    monkeypatch.setattr(run, "compute_shard", interrupted)


def test_resume_without_parts_says_so(here: Path, monkeypatch, capsys) -> None:
    assert main(analyze("--resume")) == 2
    assert "There is nothing to resume" in capsys.readouterr().err
    Path("a.nc.parts").mkdir()
    Path("a.nc.parts/letter.txt").write_text("mine")
    assert main(analyze("--resume")) == 2
    assert "There is nothing to resume" in capsys.readouterr().err
    assert main(analyze()) == 0
    assert Path("a.nc.parts/letter.txt").read_text() == "mine", "not ours, not removed"


def test_parts_of_another_work_are_told_and_kept(here: Path, monkeypatch, capsys) -> None:
    import napari_ifa.analysis.run as run

    whole = run.compute_shard
    interrupt_after(monkeypatch, 2)
    assert main(analyze()) == 2
    assert len(finished_parts(Path("a.nc.parts"))) == 2
    capsys.readouterr()
    assert main(analyze("--resume", "--method", "pixelwise")) == 2
    said = capsys.readouterr().err
    assert "begun with another method" in said
    assert said.count("\n") == 1
    Path("in/less.csv").write_text("image,label\ncase_0.nii,0\ncase_1.nii,1\n")
    other = ["analyze", "--bundle", "bundle", "--cohort", "in/less.csv", "-o", "a.nc"]
    assert main([*other, "--resume"]) == 2
    assert "begun with another cohort" in capsys.readouterr().err
    assert len(finished_parts(Path("a.nc.parts"))) == 2
    monkeypatch.setattr(run, "compute_shard", whole)
    assert main(analyze("--resume")) == 0
    assert names(here) == ["a.nc", "bundle", "in"]


def test_parts_without_a_finished_one_are_in_no_ones_way(here: Path) -> None:
    """As a run that was killed before its first part leaves them."""
    Path("a.nc.parts").mkdir()
    Path("a.nc.parts/running.lock").touch()
    assert main(analyze()) == 0
    assert names(here) == ["a.nc", "bundle", "in"]


@pytest.mark.parametrize(
    "command",
    [
        analyze(out="x"),
        ["findings", "a.nc", "-o", "x"],
        ["evaluate", *COHORT, "--analysis", "a.nc", "-o", "x"],
        ["report", "a.nc", "-o", "x"],
        ["report", "a.nc", "--tables", "x", "-o", "r.html"],
        ["explain", "--bundle", BUNDLE, "in/case_0.nii", "-o", "x"],
        ["demo", "--out", "x"],
    ],
    ids=lambda command: " ".join(command[:1] + command[-4:]),
)
def test_a_second_run_is_told_of_the_first_before_any_work(command, here: Path, capsys) -> None:
    before = names(here)
    with claimed(here / "x"):
        assert main(command) == 2
    said = capsys.readouterr().err
    assert f"(process {os.getpid()})" in said
    assert "Another run has been working on this place since" in said
    assert said.count("\n") == 1
    assert names(here) == before


def test_two_analyses_do_not_share_a_folder_of_parts(here: Path) -> None:
    import napari_ifa as ifa
    from napari_ifa.disk import Claim
    from napari_ifa.errors import AlreadyRunningError
    from tests.tiny import tiny_classifier

    cohort = ifa.read_cohort("in/datalist.json")
    Path("parts").mkdir()
    first = Claim(Path("parts/running.lock"))
    assert first.take()
    with pytest.raises(AlreadyRunningError, match="since"):
        ifa.analyze(tiny_classifier(), cohort, resume_dir="parts")
    first.release()
    ifa.analyze(tiny_classifier(), cohort, resume_dir="parts")
    assert not [name for name in names(Path("parts")) if "lock" in name]


@pytest.mark.parametrize("out", ["x" * 300, f"{'x' * 300}/a.nc", "in/case_0.nii/a.nc"])
def test_a_name_that_no_system_takes_is_one_sentence(out: str, capsys) -> None:
    for command in (
        analyze(out=out),
        ["findings", "a.nc", "-o", out],
        ["report", "a.nc", "-o", out],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "too long" in said or "Not a directory" in said or "is a file" in said, said


def test_explanations_of_other_classes_lie_beside_each_other(here: Path, capsys) -> None:
    image = str(next(samples.cohort("clean").parent.rglob("*.nii.gz")))
    explain = ["explain", "--bundle", BUNDLE, image, "-o", "maps", "--class"]
    assert main([*explain, "0"]) == 0
    before = {path.name: path.read_bytes() for path in Path("maps").iterdir()}
    assert main([*explain, "1"]) == 0
    assert main([*explain, "0", "--features", "only:1"]) == 0
    assert main([*explain, "0", "--features", "only:2"]) == 0
    for more in (["0"], ["0", "--features", "only:1"]):
        capsys.readouterr()
        assert main([*explain, *more]) == 2
        assert "--overwrite" in capsys.readouterr().err
    assert main(explain[:-1]) == 2, "any class may be the answer"
    assert {name: (Path("maps") / name).read_bytes() for name in before} == before
    assert main([*explain, "0", "--overwrite"]) == 0


@pytest.mark.parametrize("tables", ["r.html", "in/../r.html", "r.html/tables"])
def test_a_report_and_its_tables_need_two_places(tables: str, here: Path, capsys) -> None:
    assert main(analyze()) == 0
    capsys.readouterr()

    assert main(["report", "a.nc", "--tables", tables, "-o", "r.html"]) == 2

    assert "another" in capsys.readouterr().err
    assert not Path("r.html").exists()


def test_a_refused_run_leaves_the_other_ones_parts_alone(here: Path, capsys) -> None:
    parts = Path("a.nc.parts")
    # As by another user, whose cache folder is another one.
    other = Claim(parts / "running.lock")
    parts.mkdir()
    assert other.take()
    (parts / "plan.json").write_text("{}")

    assert main(analyze()) == 2

    assert "Another run" in capsys.readouterr().err
    assert names(parts) == ["plan.json", "running.lock", "running.lock.json"]
    other.release()


def test_parts_of_which_it_is_not_known_what_they_belong_to_are_not_taken(
    here: Path, capsys
) -> None:
    parts = Path("a.nc.parts")
    parts.mkdir()
    (parts / "shard_000000.npz").write_bytes(b"of another model")

    assert main(analyze("--resume")) == 2

    assert "plan.json" in capsys.readouterr().err
    assert names(parts) == ["shard_000000.npz"]
    assert not Path("a.nc").exists()
