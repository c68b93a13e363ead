"""The benchmark of the paper's tables on a few cases: how they are divided, run and told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import napari_ifa as ifa
from napari_ifa.cohorts import Case, Cohort
from tests.benchmarks.paper import datasets, measured, page, published, tables
from tests.benchmarks.paper.networks import plans
from tests.benchmarks.paper.training import augmented, held_out, trained_bundle


def write_picture(path, bright, seed):
    """Noise, and for the bright class a square in its middle."""
    values = np.random.default_rng(seed).integers(0, 90, (20, 24), dtype=np.uint8)
    if bright:
        values[6:14, 8:16] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two classes, 10 pictures to train on and 6 to test on."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, number in (("train", 10), ("test", 6)):
        for n in range(number):
            label = ("bright", "dark")[n % 2]
            seed = n + 100 * (split == "test")
            write_picture(folder / split / label / f"{n}.png", label == "bright", seed)
    return folder


@pytest.fixture(scope="module")
def entry(pictures, tmp_path_factory):
    """A network trained for a few epochs and measured, as one row's source."""
    work = tmp_path_factory.mktemp("work")
    dataset = datasets.from_folder("CatsDogs", pictures)
    plan = plans(dataset.name, len(dataset.classes))[0]
    plan = replace(plan, recipe=replace(plan.recipe, epochs=2, batch=4, validation=0.0))
    first, again = (trained_bundle(plan, dataset, work, lambda line: None) for _ in range(2))
    classifier = ifa.load_classifier(first.folder, device="cpu")
    result = measured.measure(
        classifier, dataset, "pixelwise", 0.05, with_findings=True, report=lambda line: None
    )
    return {
        "first": first,
        "again": again,
        "network": plan.name,
        "architecture": plan.architecture,
        "relu": plan.relu,
        "recommended_layer": True,
        "data": dataset.name,
        "paper_set": dataset.paper_set,
        "relation": dataset.relation,
        "source": dataset.source,
        "cases_training": len(dataset.training),
        "results": [result],
    }


def cohort_of(labels):
    return Cohort(
        "some", tuple(Case(f"{n:03d}", Path(f"{n}.png"), label) for n, label in enumerate(labels))
    )


def test_a_set_is_divided_class_by_class_and_always_alike():
    cohort = cohort_of(["a"] * 20 + ["b"] * 10)
    training, test = datasets.divided(cohort, test_share=0.3, together=lambda case: case.id)
    assert [case.label for case in test.cases] == ["a"] * 6 + ["b"] * 3
    assert {case.id for case in training.cases} | {case.id for case in test.cases} == {
        case.id for case in cohort.cases
    }
    assert len(training) + len(test) == 30
    assert datasets.divided(cohort, test_share=0.3, together=lambda case: case.id)[1] == test
    other = datasets.divided(cohort, test_share=0.3, together=lambda case: case.id, seed=1)[1]
    assert other != test


def test_cases_that_belong_together_stay_on_one_side():
    cohort = cohort_of(["a"] * 30)
    training, test = datasets.divided(cohort, together=lambda case: case.id[1])
    groups = [{case.id[1] for case in side.cases} for side in (training, test)]
    assert groups[0] | groups[1] == {"0", "1", "2"}
    assert not groups[0] & groups[1]


def test_nodules_rated_three_are_left_out_and_the_others_are_benign_or_malignant(tmp_path):
    folder = tmp_path / "lidc_nodules"
    rows = ["Filename,malignancy"]
    for patient in range(20):
        name = f"{patient}_nod1_ann0"
        rows.append(f"{name},{patient % 5 + 1}.0")
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.nii.gz").touch()
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = datasets.lidc_nodules(tmp_path, tmp_path)
    cases = [*found.training.cases, *found.test.cases]
    assert len(cases) == 16
    for case in cases:
        patient = int(case.path.name.split("_")[0])
        assert case.label == ("benign" if patient % 5 + 1 <= 2 else "malignant")
        assert case.mask is not None
        assert case.mask.name == case.path.name


def test_a_folder_of_the_users_is_read_by_its_splits_or_divided(pictures):
    named = datasets.from_folder("CatsDogs", pictures)
    assert (len(named.training), len(named.test)) == (10, 6)
    divided = datasets.from_folder("CatsDogs", pictures / "train")
    assert (len(divided.training), len(divided.test)) == (6, 4)
    assert named.classes == divided.classes == ("bright", "dark")


def test_the_fingerprint_tells_data_apart(pictures):
    dataset = datasets.from_folder("CatsDogs", pictures)
    assert dataset.fingerprint() == datasets.from_folder("CatsDogs", pictures).fingerprint()
    assert dataset.fingerprint() != dataset.fewer(4).fingerprint()
    assert len(dataset.fewer(4).training) == 4


def test_validation_cases_are_of_every_class_and_not_learnt_from():
    truth = torch.tensor([0] * 40 + [1] * 20)
    learnt, held = held_out(truth, plans("digits", 10)[0].recipe)
    assert truth[held].bincount().tolist() == [4, 2]
    assert sorted([*learnt.tolist(), *held.tolist()]) == list(range(60))


def test_without_any_change_augmentation_leaves_an_image_as_it_is():
    still = {"mirrored": (), "turned": 0.0, "scaled": 0.0, "moved": 0.0, "changed": 0.0}
    recipe = replace(plans("lidc_nodules", 2)[0].recipe, **still)
    images = torch.rand(2, 1, 6, 5, 4)
    found = augmented(images, recipe, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, images)


def test_mirroring_turns_the_axis_that_is_named():
    still = {"mirrored": (1,), "turned": 0.0, "scaled": 0.0, "moved": 0.0, "changed": 0.0}
    recipe = replace(plans("lidc_nodules", 2)[0].recipe, **still)
    images = torch.rand(16, 1, 6, 5, 4)
    found = augmented(images, recipe, torch.Generator().manual_seed(0))

    def same(others):
        pairs = zip(found, others, strict=True)
        return torch.tensor([torch.allclose(one, other, atol=1e-5) for one, other in pairs])

    kept, mirrored = same(images), same(images.flip(2))
    assert (kept ^ mirrored).all()
    assert 0 < kept.sum() < 16


def test_a_bundle_gives_the_network_what_monai_gives_it(entry):
    assert entry["first"].measured["largest_difference_to_monai"] == 0


def test_a_second_run_trains_nothing(entry):
    assert entry["first"].fresh
    assert not entry["again"].fresh
    assert entry["again"].measured == entry["first"].measured


def test_the_products_accuracy_is_that_of_training(entry):
    every = entry["results"][0]["rankings"]["value"]["accuracy"][0]
    assert every["accuracy"] == entry["first"].measured["accuracy_test"]


def test_pixelwise_maps_of_a_pooled_relu_network_add_up_to_the_logit(entry):
    classes = entry["results"][0]["consistency"]["class activation"]["classes"]
    assert measured.mean_and_lowest(classes)[1] > 0.99


def test_every_set_of_the_paper_has_a_row_that_says_whether_it_was_run(entry):
    for title, table in tables.all_tables([entry])[:-1]:
        rows = table.splitlines()[2:]
        run = 2 if title.startswith("Table II:") else 1
        assert len(rows) == len(published.PAPER_SETS) + run - 1, title
        assert sum("not available here" in row for row in rows) == len(rows) - run
        assert sum("same data" in row for row in rows) == run


def test_no_cell_of_the_paper_is_made_up(entry):
    """What stands in the paper's column is its abstract's statement or that it is not to hand."""
    for _, table in tables.all_tables([entry])[1:-1]:
        cells = {row.split("|")[-2].strip() for row in table.splitlines()[2:]}
        assert cells <= {published.NOT_TO_HAND, published.CONSISTENCY, published.PRINCIPAL}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.1, 0.8), (0.2, 0.9), (0.5, 0.895), (1.0, 0.9)], 0.2),
        ([(0.1, 0.95), (0.2, 0.5), (1.0, 0.9)], 1.0),
        ([(0.1, 0.89), (1.0, 0.9)], 0.1),
    ],
)
def test_the_least_share_is_the_one_from_which_accuracy_stays(points, expected):
    assert measured.same_from(points, 1000) == expected


def test_one_case_less_counts_as_the_same():
    assert measured.same_from([(0.1, 0.7), (0.5, 0.8), (1.0, 0.9)], 10) == 0.5


def test_a_class_without_a_number_is_counted_not_averaged():
    rows = [{"coefficient": value} for value in (0.9, float("nan"), 0.7)]
    assert measured.mean_and_lowest(rows) == pytest.approx((0.8, 0.7))
    assert measured.mean_and_lowest(rows[1:2]) is None
    assert measured.without_unknown({"a": [float("nan"), np.float64(1)]}) == {"a": [None, 1.0]}


def test_writing_the_tables_leaves_the_rest_of_the_page(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(f"before\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n", encoding="utf-8")
    page.write(file, "new")
    page.write(file, "newer")
    text = file.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "newer" in text
    assert "old" not in text


def test_rows_by_the_older_formula_are_marked_or_made_anew():
    text = (Path(__file__).parents[1] / "docs" / "paper_tables.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if re.search(r"\| gradcam\+\+", line)]
    marked = [line for line in rows if "| gradcam++ † " in line]
    assert len(rows) == 14
    assert len(marked) in (0, len(rows))
    assert text.count("† Made with the older formula") == (2 if marked else 0)
