from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.variables import described
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import IfaError
from napari_ifa.evaluation.section import Section
from napari_ifa.export.html_report import DARK, LIGHT, write_report
from napari_ifa.export.tables import StoredSection, read_folder, write_sections
from tests.tiny import tiny_classifier, write_cohort

VOID = {"meta", "img", "br", "hr", "link", "input", "col"}
SCRIPT = "<script>alert('x')</script>"
CASES = [
    ([8.0, 0, 0, 0, 0, 0, 0, 0], 0),
    ([8.0, 8, 0, 0, 0, 0, 0, 0], 1),
    ([4.0, -4] + [0.0] * 6, 0),
]


class Page(HTMLParser):
    """A report's structure; complains of a tag that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


@dataclass(frozen=True)
class Results:
    sections: tuple[Section, ...]


def drawing() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1])
    return figure


def section(key: str = "one", title: str = "First", rows: int = 1, **changes) -> Section:
    content = {
        "meaning": "It is 1.",
        "limits": "It is not 2.",
        "rows": tuple({"case": f"c{n}", "value": n + 0.5} for n in range(rows)),
        "columns": {"case": "the case", "value": "a number"},
        "draw": drawing,
    }
    return Section(key=key, title=title, **(content | changes))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = tmp_path_factory.mktemp("cohort")
    cohort = replace(read_cohort(write_cohort(folder, CASES)), name="heads", notes=())
    return analyze(tiny_classifier(), cohort)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Page]:
    def write(*arguments, **options) -> Page:
        path = write_report(tmp_path / "report.html", *arguments, **options)
        return Page(path.read_text("utf-8"))

    return write


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, analysis: Analysis) -> Page:
    """The report of the analysis alone, with one more section of thirty rows."""
    path = tmp_path_factory.mktemp("plain") / "report.html"
    write_report(path, analysis, evaluation=Results((section(rows=30),)))
    return Page(path.read_text("utf-8"))


def check_stands_alone(page: Page) -> None:
    """Nothing runs, nothing is loaded, and every link leads to a place in the page."""
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "svg"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        source = attributes.get("src")
        assert source is None or re.match(r"data:image/(png|svg\+xml);base64,", source)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for _, a in page.tags if "href" in a]
    assert links
    assert {link[1:] for link in links} <= set(ids)
    named = [a["aria-labelledby"] for a in page.all("section")]
    assert set(named) <= set(ids)


def test_a_report_is_one_whole_page_that_loads_nothing(plain: Page) -> None:
    page = plain

    check_stands_alone(page)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert next(a.get("charset") for a in page.all("meta")) == "utf-8"
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script-src" not in policy


def test_it_can_be_read_by_ear(plain: Page) -> None:
    page = plain

    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(image["alt"] for image in page.all("img"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colours", [LIGHT, DARK])
@pytest.mark.parametrize(
    ("front", "back"),
    [("ink", "paper"), ("quiet", "paper"), ("link", "paper"), ("ink", "says"), ("ink", "not")],
)
def test_text_stands_out_as_wcag_aa_asks(colours, front: str, back: str) -> None:
    light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_it_says_in_plain_words_what_was_found(plain: Page) -> None:
    text = plain.text

    assert (
        "was run on 3 cases of “heads”. It answered 1 of the 3 cases with a label rightly" in text
    )
    assert "(33 %, 95 % interval 6 % to 79 %)" in text
    assert "It describes the model, not a patient" in text
    assert "For research. Not for primary diagnosis." in text


def test_sections_stand_in_order_each_with_what_it_says_and_does_not(
    report, analysis: Analysis
) -> None:
    page = report(
        analysis,
        analysis,
        evaluation=Results((section("e", "Consistency"),)),
        findings=(section("f", "Overfitting"),),
        sections=[section("x", "Another")],
    )

    titles = [
        *("The cohort", "How well the model answers", "The common scale"),
        *("Which features the model relies on", "Consistency", "Overfitting", "Another"),
        *("Where this comes from", "Limits of the whole"),
    ]
    places = [page.text.rindex(title) for title in titles]
    assert places == sorted(places)
    for head in ("Evaluation", "Findings", "Further results"):
        assert head in page.text
    sections = len(page.all("section"))
    assert page.text.count("What this says") == sections
    assert page.text.count("What it does not say") == sections
    assert "heads, 1" in page.text, "two cohorts of one name are told apart"
    check_stands_alone(page)


def test_a_long_table_is_folded_and_a_huge_one_is_cut_and_says_so(
    report, analysis: Analysis
) -> None:
    tables = [section(draw=None, rows=rows) for rows in (20, 21, 1000)]
    wide = section(rows=1, draw=None)
    row = {f"column {n}": n for n in range(100)}
    text = report(analysis, sections=[*tables, replace(wide, rows=(row,), columns={})]).text

    whole, folded, cut, wide = text.split("What this says It is 1.")[1:]
    assert "Show rows" not in whole
    assert "Show rows 21 to 21 rows 21 to 21 case value c20 20.5" in folded
    assert "Show rows 21 to 300" in cut
    assert "c299" in cut
    assert "c300" not in cut
    assert "Left out here: 700 of 1000 rows. The table as CSV or JSON has them all." in cut
    assert "Left out here: 76 of 100 columns." in wide


def test_missing_numbers_are_dashes_and_empty_tables_are_said(report, analysis: Analysis) -> None:
    rows = ({"value": float("nan")}, {"value": None}, {"value": 0.0})
    some = section(rows=0, draw=None, columns={"value": "a number"})
    text = report(analysis, sections=[replace(some, rows=rows), some]).text

    assert "3 rows value – – 0 What the columns hold value a number" in text
    assert "There is nothing to list." in text


def test_no_text_becomes_code(tmp_path: Path, report, analysis: Analysis) -> None:
    data = analysis.dataset.assign_coords(
        {"class": [SCRIPT, '" onload="x'], "case": [SCRIPT, "b", "c"]}
    ).assign_attrs(
        model_name=SCRIPT,
        cohort_name=f"'{SCRIPT}",
        cohort_split=SCRIPT,
        notes=SCRIPT,
        versions=SCRIPT,
        **{f"other {SCRIPT}": SCRIPT},
    )
    row = {SCRIPT: SCRIPT, "case": '"><img src=x onerror=alert(1)>'}
    evil = Section(SCRIPT, SCRIPT, SCRIPT, SCRIPT, (row,), {SCRIPT: SCRIPT}, drawing)

    page = report(Analysis(data), evaluation=[evil])

    check_stands_alone(page)
    assert SCRIPT in page.text, "it is shown as it is"
    assert {image["src"][:10] for image in page.all("img")} == {"data:image"}
    for image in page.all("img"):
        if image["src"].startswith("data:image/svg"):
            svg = base64.b64decode(image["src"].split(",")[1])
            assert b"<script" not in svg


def test_names_that_are_no_unicode_or_have_dollars_do_not_stop_it(
    report, analysis: Analysis
) -> None:
    names = ["$\\frac{\x00$", "caf\udce9"]
    page = report(Analysis(analysis.dataset.assign_coords({"class": names})))

    assert "$\\frac{�$" in page.text
    assert "caf\\udce9" in page.text


def test_the_provenance_is_told_whole(report, analysis: Analysis) -> None:
    data = analysis.dataset.assign_attrs(
        model_name="bundle", cohort_split="test", extra_entry="kept too", notes=""
    )
    text = report(Analysis(data)).text

    for words in (
        "model bundle SHA-256 of its weights straight layer features method gradcam",
        "class names none, lesion cohort heads split test",
        "SHA-256 of the cohort's list " + data.attrs["cohort_sha256"],
        "created " + data.attrs["created"],
        f"format of the analysis file {data.attrs['format_version']}",
        "extra entry kept too",
        "cases 3",
    ):
        assert words in text


def test_evaluation_and_findings_are_read_back_from_folders(
    tmp_path: Path, report, analysis: Analysis
) -> None:
    write_sections([section("e", "Consistency", rows=3)], tmp_path / "e")
    write_sections([section("f", "Overfitting", draw=None)], tmp_path / "f")

    page = report(
        analysis,
        evaluation=read_folder(tmp_path / "e").sections,
        findings=read_folder(tmp_path / "f").sections,
    )

    check_stands_alone(page)
    assert page.text.index("Evaluation") < page.text.rindex("Consistency")
    (image,) = [i for i in page.all("img") if "Consistency" in i["alt"]]
    kind, content = image["src"].split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == (tmp_path / "e" / "e.svg").read_bytes()


def test_a_very_small_p_is_told_as_less(report, analysis: Analysis) -> None:
    table = replace(section(draw=None), rows=({"p": 3e-171},), columns={})

    assert "1 row p < 0.0001" in report(analysis, sections=[table]).text


def test_a_picture_of_noise_is_made_smaller(report, analysis: Analysis) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1100, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, format="PNG")
    stored = StoredSection("n", "Noise", "", "", (), pictures={"png": stream.getvalue()})

    page = report(analysis, sections=[stored])

    (image,) = [i for i in page.all("img") if "Noise" in i["alt"]]
    content = base64.b64decode(image["src"].split(",")[1])
    assert len(content) < len(stream.getvalue()) / 2
    assert Image.open(BytesIO(content)).size == (1000, 818)


def test_a_thousand_classes_of_two_thousand_features_stay_below_five_megabytes(
    tmp_path: Path,
) -> None:
    analysis = large_analysis(classes=1000, features=2048, cases=300)

    path = write_report(tmp_path / "large.html", analysis)

    assert path.stat().st_size < 5_000_000
    page = Page(path.read_text("utf-8"))
    check_stands_alone(page)
    assert "Left out here: 3700 of 4000 rows" in page.text
    assert "The figure shows the 6 classes with the most cases." in page.text


def large_analysis(classes: int, features: int, cases: int) -> Analysis:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, cases)
    logits = generator.normal(size=(cases, classes))
    matrix = generator.normal(size=(features, classes))
    share = np.full((features, classes), 0.5)
    ones = np.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    bins = np.array([-126_000, -125_000, 0, 125_000, 126_000])
    values = {
        "importance_all": matrix,
        "importance_true": np.where(counts > 0, matrix, np.nan),
        "importance_true_correct": matrix,
        "variance_all": share,
        "variance_true": share,
        "frequency_all": share,
        "frequency_true": share,
        "cases_all": np.int64(cases),
        "cases_true": counts,
        "cases_correct": counts,
        "voxel_count": np.full((classes, 5), 7),
        "voxel_minimum": -9e16 * ones,
        "voxel_maximum": 9e16 * ones,
        "voxel_mean": 0 * ones,
        "voxel_sum_of_squares": ones,
        "voxel_not_finite": np.zeros(classes, int),
        "skipped_reason": np.array([], dtype=object),
        "label": labels,
        "target": np.full(cases, np.nan),
        "content": np.arange(cases, dtype=np.uint64),
        "logits": logits,
        "activation_sum": logits,
        "activation_minimum": logits - 1,
        "activation_maximum": logits + 1,
    }
    names = np.array([f"class with a rather long name {c}" for c in range(classes)], dtype=object)
    coordinates = {
        "class": names,
        "case": np.array([f"folder/case_{n:05}.nii.gz" for n in range(cases)], dtype=object),
        "bin": bins,
        "skipped": np.array([], dtype=object),
    }
    attributes = {"method": "gradcam", "model_class_names": ", ".join(names)}
    return Analysis(described(values, coordinates).assign_attrs(attributes))


def test_the_same_analysis_gives_the_same_report(tmp_path: Path, analysis: Analysis) -> None:
    first, again = (write_report(tmp_path / f"{n}.html", analysis) for n in "ab")

    assert first.read_bytes() == again.read_bytes()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, analysis) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(
        IfaError, match=r"^r\.html cannot be written to .*; make room there or choose"
    ):
        write_report(tmp_path / "taken" / "r.html", analysis)
