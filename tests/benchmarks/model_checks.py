"""How often the model checks name the innocent, and how often they find what is there.

    python tests/benchmarks/model_checks.py --runs 400 --json model_checks.json

Each simulation makes up analyses whose truth is known, runs a finding on each, and counts. It is a
function that yields lines, registered under its section's name; ``--sections`` takes some of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from napari_ifa.analysis import Analysis
from napari_ifa.evaluation.checks.confounders import confounder_candidates
from napari_ifa.evaluation.checks.outliers import outliers
from napari_ifa.evaluation.checks.overfitting import overfitting
from napari_ifa.evaluation.measures.feature_removal import FILLINGS, FeatureRemoval
from napari_ifa.evaluation.measures.removal_order import (
    LayerAnswers,
    fold_orders,
    folds_of,
    removal_counts,
)
from napari_ifa.evaluation.statistics.shares import of_mean_share
from tests.known_analysis import known_analysis


@dataclass(frozen=True)
class Line:
    """One line of the table: a mean over simulations with its 95 % interval.

    ``aim`` is ``("at most", x)`` or ``("at least", x)``; None where there is none. An aim is met
    where the interval does not lie wholly beyond it.
    """

    section: str
    case: str
    figure: str
    value: float
    low: float
    high: float
    runs: int
    aim: tuple[str, float] | None = None

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        side, limit = self.aim
        return self.low <= limit if side == "at most" else self.high >= limit


def share(section: str, case: str, figure: str, hits: list[bool], aim=None) -> Line:
    """The share of simulations in which something happened, with Wilson's interval."""
    from scipy.stats import binomtest

    interval = binomtest(int(sum(hits)), len(hits)).proportion_ci(method="wilson")
    low, high = float(interval.low), float(interval.high)
    return Line(section, case, figure, float(np.mean(hits)), low, high, len(hits), aim)


def mean(section: str, case: str, figure: str, values: list[float], aim=None) -> Line:
    """A mean over simulations, with a normal interval."""
    known = np.array([v for v in values if np.isfinite(v)])
    half = 1.96 * float(known.std(ddof=1)) / len(known) ** 0.5 if len(known) > 1 else float("nan")
    middle = float(known.mean()) if len(known) else float("nan")
    return Line(section, case, figure, middle, middle - half, middle + half, len(known), aim)


Simulation = Callable[[int], Iterator[Line]]
SECTIONS: dict[str, list[Simulation]] = {}


def simulation(section: str) -> Callable[[Simulation], Simulation]:
    """Registers a function that takes the number of runs and yields lines."""

    def register(function: Simulation) -> Simulation:
        SECTIONS.setdefault(section, []).append(function)
        return function

    return register


# --- contributions -----------------------------------------------------------------------------

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng, shape):
    return rng.normal(size=shape)


def log_normal(rng, shape):
    return rng.lognormal(0.0, 1.0, size=shape)


def zero_inflated(rng, shape):
    """Nothing in most cases, and a skewed rest, as behind a ReLU."""
    return rng.lognormal(0.0, 1.0, size=shape) * (rng.random(shape) < 0.3)


def correlated(rng, shape):
    """Five causes under all features, as features of a network share; shape ``[N, F, C]``."""
    causes = rng.lognormal(0.0, 0.7, size=(shape[0], 5, shape[2]))
    mixing = np.random.default_rng(0).lognormal(0.0, 1.0, size=(5, shape[1]))
    return np.einsum("nkc,kf->nfc", causes, mixing) * rng.lognormal(0.0, 0.5, size=shape)


DRAWS: dict[str, Draw] = {
    "normal": normal,
    "log-normal": log_normal,
    "zero-inflated": zero_inflated,
    "correlated": correlated,
}
SIZES = [(60, 10), (200, 20), (200, 50)]
FEATURES, CLASSES = 40, 2


def labels(cases: int) -> np.ndarray:
    """``cases`` of each class."""
    return np.repeat(np.arange(CLASSES), cases)


def pair(rng, draw: Draw, sizes: tuple[int, int], change=None):
    """Training and test analyses; ``change(values)`` alters the training cases of class 0."""
    sides = []
    for n in sizes:
        values = draw(rng, (CLASSES * n, FEATURES, CLASSES))
        if change is not None and not sides:
            change(values[:n, :, 0])
        sides.append(known_analysis(values, labels(n)))
    return sides


# --- overfitting -------------------------------------------------------------------------------


@simulation("overfitting")
def nothing_differs(runs: int) -> Iterator[Line]:
    for name, draw in DRAWS.items():
        for sizes in SIZES:
            rng = np.random.default_rng(1)
            called = [overfitting(*pair(rng, draw, sizes)).called for _ in range(runs)]
            case = f"{name}, {sizes[0]}/{sizes[1]}, nothing differs"
            yield share("overfitting", case, "called", called, ("at most", 0.05))


@simulation("overfitting")
def one_true_difference(runs: int) -> Iterator[Line]:
    """One feature of one class is shifted by so many of its standard deviations in training."""
    for name, draw in DRAWS.items():
        spread = draw(np.random.default_rng(9), (20_000, FEATURES, CLASSES))[:, 0, 0].std()
        for sizes in SIZES:
            rng = np.random.default_rng(2)
            shift = 1.5 * spread
            false_share, any_false, found_it = [], [], []
            for _ in range(runs):

                def change(values, shift=shift):
                    values[:, 0] += shift

                named = overfitting(*pair(rng, draw, sizes, change)).significant
                wrong = int(named.sum()) - int(named[0, 0])
                false_share.append(wrong / max(int(named.sum()), 1))
                any_false.append(wrong > 0)
                found_it.append(bool(named[0, 0]))
            case = f"{name}, {sizes[0]}/{sizes[1]}, one differs by 1.5 sd"
            aim = ("at most", 0.05)
            yield mean("overfitting", case, "false share of names", false_share, aim)
            yield share("overfitting", case, "any innocent named", any_false, aim)
            yield share("overfitting", case, "the one named", found_it)


@simulation("overfitting")
def diffuse_shift(runs: int) -> Iterator[Line]:
    """Every feature of one class is shifted a little."""
    for name, draw in DRAWS.items():
        rng = np.random.default_rng(3)
        spread = draw(np.random.default_rng(9), (20_000, FEATURES, CLASSES))[:, 0, 0].std()

        def change(values, spread=spread):
            values += 0.35 * spread

        named, by_sum, called = [], [], []
        for _ in range(runs):
            found = overfitting(*pair(rng, draw, (200, 50), change))
            named.append(bool(found.significant.any()))
            by_sum.append(bool(found.significant_sum.any()))
            called.append(found.called)
        case = f"{name}, 200/50, all of a class shifted by 0.35 sd"
        yield share("overfitting", case, "called", called)
        yield share("overfitting", case, "any feature named", named)
        yield share("overfitting", case, "the class's sum", by_sum)


@simulation("overfitting")
def spread_alone_differs(runs: int) -> Iterator[Line]:
    """Equal means, but twice the spread in the smaller cohort: no difference of means."""
    for sizes in ((200, 20), (20, 200), (60, 60)):
        rng = np.random.default_rng(4)
        called = []
        for _ in range(runs):
            train, test = (
                known_analysis(scale * rng.normal(size=(CLASSES * n, FEATURES, CLASSES)), labels(n))
                for n, scale in zip(sizes, (1.0, 2.0), strict=True)
            )
            called.append(overfitting(train, test).called)
        case = f"normal, {sizes[0]}/{sizes[1]}, test spreads twice as wide"
        yield share("overfitting", case, "called", called)


# --- redundancy --------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A linear head on pooled features, and the patients that it meets."""

    weights: np.ndarray
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]

    def right(self, features: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return (features @ self.weights.T).argmax(axis=1) == truth


def one_signed_feature() -> World:
    """Feature 0, positive or negative, decides everything; its mean contribution is 0."""
    weights = 0.02 * np.random.default_rng(0).normal(size=(2, 40))
    weights[:, 0] = 1, -1

    def draw(rng, n):
        truth = rng.integers(0, 2, n)
        features = rng.lognormal(0, 0.5, size=(n, 40))
        features[:, 0] = (1 - 2 * truth) * rng.uniform(0.5, 3, n)
        return features, truth

    return World(weights, draw)


def forty_classes(rare: bool = False) -> World:
    """A feature for every class, silent elsewhere, among as many that hardly matter."""
    weights = 0.05 * np.random.default_rng(0).normal(size=(40, 80))
    weights[:, :40] += np.eye(40)
    shares = np.full(40, 1.0) if not rare else np.geomspace(1, 0.01, 40)

    def draw(rng, n):
        truth = rng.choice(40, n, p=shares / shares.sum())
        features = rng.lognormal(-1, 0.7, size=(n, 80))
        features[np.arange(n), truth] += rng.uniform(1, 4, n)
        return features, truth

    return World(weights, draw)


def many_weak_features() -> World:
    """Sixty features that each tell a little, so that each one removed costs a little."""
    weights = np.stack([np.ones(60), -np.ones(60)])

    def draw(rng, n):
        truth = rng.integers(0, 2, n)
        return rng.normal((1 - 2 * truth)[:, None] * 0.25, 1, size=(n, 60)), truth

    return World(weights, draw)


def copies() -> World:
    """Twelve copies of what decides, and offsets that are the same in every case."""
    weights = 0.02 * np.random.default_rng(0).normal(size=(2, 60))
    weights[:, :12] += np.array([[0.3], [-0.3]])
    weights[:, 12:24] += np.array([[2.0], [1.0]])

    def draw(rng, n):
        truth = rng.integers(0, 2, n)
        features = rng.lognormal(0, 0.3, size=(n, 60))
        features[:, :12] = ((1 - 2 * truth) * rng.uniform(0.2, 3, n))[:, None]
        features[:, 12:24] = 5
        return features, truth

    return World(weights, draw)


WORLDS: dict[str, Callable[[], World]] = {
    "one signed feature decides": one_signed_feature,
    "40 classes": forty_classes,
    "40 classes, 100 times as many of one": lambda: forty_classes(True),
    "60 weak features": many_weak_features,
    "12 copies and offsets": copies,
}


def removal_of(world: World, features, truth, groups=None) -> FeatureRemoval:
    """`feature_removal` of a linear head, in plain numpy."""
    answers = LayerAnswers(
        truth,
        features,
        features @ world.weights.T,
        world.weights[None],
        np.zeros(len(truth), int),
        False,
    )
    folds = folds_of(truth, groups)
    orders, counts = fold_orders(answers, folds), removal_counts(features.shape[1])
    right = {filling: np.zeros((len(truth), len(counts)), bool) for filling in FILLINGS}
    for fold, one in enumerate(orders):
        rows = np.flatnonzero(folds == fold)
        for place, number in enumerate(counts):
            gone = one.order[:number]
            for filling in FILLINGS:
                changed = features[rows]
                changed[:, gone] = one.mean[gone] if filling == "mean" else 0
                right[filling][rows, place] = world.right(changed, truth[rows])
    every = world.right(features, truth)
    return FeatureRemoval(truth, every, right, counts, orders, groups)


@simulation("redundancy")
def removed_for_a_point_at_most(runs: int) -> Iterator[Line]:
    """What new patients lose without the features that are called removable."""
    for name, made in WORLDS.items():
        world = made()
        new, truth = world.draw(np.random.default_rng(7), 20_000)
        for cases, each in ((100, 1), (400, 1), (2000, 1), (400, 10)):
            rng = np.random.default_rng(6)
            too_much, named, number = [], [], []
            for _ in range(max(2, runs // 20)):
                features, labelled = world.draw(rng, cases)
                rows = np.repeat(np.arange(cases), each)
                found = removal_of(
                    world, features[rows], labelled[rows], rows if each > 1 else None
                )
                without = new.copy()
                without[:, found.removable] = features.mean(axis=0)[found.removable]
                lost = world.right(new, truth).mean() - world.right(without, truth).mean()
                too_much.append(bool(lost > 0.01))
                named.append(bool(found.removable.any()))
                number.append(float(found.removable.sum()))
            case = f"{name}, {cases} patients" + f", {each} copies each" * (each > 1)
            yield share(
                "redundancy", case, "new cases lose over a point", too_much, ("at most", 0.0)
            )
            yield mean("redundancy", case, "features called removable", number)


# --- balanced accuracy -------------------------------------------------------------------------

SENSITIVITIES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "0.5 to 0.99": lambda rng, classes: rng.uniform(0.5, 0.99, classes),
    "all 0.95": lambda rng, classes: np.full(classes, 0.95),
    "0.5 and 0.99 in turn": lambda rng, classes: np.where(np.arange(classes) % 2, 0.5, 0.99),
}


@simulation("balanced")
def balanced_accuracy_is_covered(runs: int) -> Iterator[Line]:
    """How often the interval of the balanced accuracy holds the true one."""
    for classes in (2, 5, 10, 40, 100):
        for fewest, most in ((5, 5), (20, 20), (50, 50), (5, 50)):
            for name, draw in SENSITIVITIES.items():
                rng = np.random.default_rng(8)
                inside = []
                for _ in range(runs):
                    truth = draw(rng, classes)
                    sizes = rng.integers(fewest, most + 1, classes)
                    found = of_mean_share(
                        [rng.random(n) < p for n, p in zip(sizes, truth, strict=True)]
                    )
                    inside.append(bool(found.low <= truth.mean() <= found.high))
                of = f"{fewest}" if fewest == most else f"{fewest} to {most}"
                case = f"{classes} classes of {of} cases, {name}"
                yield share("balanced", case, "true one inside", inside, ("at least", 0.93))


@simulation("balanced")
def slices_are_covered(runs: int) -> Iterator[Line]:
    """The same where each patient has ten slices that are right or wrong together, more or less."""
    for patients in (10, 30):
        for alike in (0.3, 0.9):
            rng = np.random.default_rng(9)
            inside = []
            for _ in range(runs):
                truth = rng.uniform(0.6, 0.95, 3)
                right, groups = [], []
                for c, p in enumerate(truth):
                    own = rng.beta(p * (1 / alike - 1), (1 - p) * (1 / alike - 1), size=patients)
                    right.append(rng.random(10 * patients) < np.repeat(own, 10))
                    groups.append(np.repeat(np.arange(patients), 10) + c * patients)
                found = of_mean_share(right, groups)
                inside.append(bool(found.low <= truth.mean() <= found.high))
            case = f"3 classes of {patients} patients, 10 slices, alike to {alike:g}"
            yield share("balanced", case, "true one inside", inside, ("at least", 0.93))


# --- patients ----------------------------------------------------------------------------------


@simulation("groups")
def slices_of_patients(runs: int) -> Iterator[Line]:
    """Ten slices a patient, nothing differs; most of the spread lies between patients."""
    for sizes in ((30, 12), (60, 20)):
        for known in (True, False):
            rng = np.random.default_rng(5)
            called = [
                overfitting(*(_slices(rng, n, known, side) for side, n in enumerate(sizes))).called
                for _ in range(runs)
            ]
            given = "groups given" if known else "groups not given"
            case = f"{sizes[0]}/{sizes[1]} patients of a class, 10 slices each, {given}"
            aim = ("at most", 0.05) if known else None
            yield share("groups", case, "called in clean simulations", called, aim)


@simulation("groups")
def odd_slices(runs: int) -> Iterator[Line]:
    """The p of outliers, of one case of each class drawn at random: at most α in a share α."""
    for known in (True, False):
        rng = np.random.default_rng(6)
        small = []
        for _ in range(runs):
            found = outliers(_slices(rng, 25, known, 0))
            small.append(bool(found.p[rng.integers(len(found.p))] <= 0.1))
        given = "groups given" if known else "groups not given"
        case = f"25 patients of a class, 10 slices each, {given}"
        yield share("groups", case, "p of a case at most 0.1", small, ("at most", 0.1))


def _slices(rng, patients: int, known: bool, side: int, each: int = 10):
    own = rng.lognormal(0.0, 0.7, size=(CLASSES * patients, 1, FEATURES, CLASSES))
    slices = own * rng.lognormal(0.0, 0.5, size=(CLASSES * patients, each, FEATURES, CLASSES))
    values = slices.reshape(-1, FEATURES, CLASSES)
    truth = np.repeat(labels(patients), each)
    groups = 1 + np.repeat(np.arange(CLASSES * patients), each) + 10**6 * side
    return known_analysis(values, truth, groups=groups if known else None)


# --- confounders -------------------------------------------------------------------------------


@simulation("confounders")
def log_normal_importance(runs: int) -> Iterator[Line]:
    """Heavy-tailed importance of either sign, nothing planted: a candidate is a false alarm."""
    for features in (16, 64, 512, 2048):
        for width in (0.5, 1.0, 2.0):
            for classes in (2, 10):
                rng = np.random.default_rng(6)
                alarms = [
                    bool(_of_importance(rng, features, classes, width).candidate.any())
                    for _ in range(runs)
                ]
                case = f"log-normal importance, F = {features}, σ = {width:g}, C = {classes}"
                yield share("confounders", case, "any candidate", alarms, ("at most", 0.05))


@simulation("confounders")
def planted_share(runs: int) -> Iterator[Line]:
    """Two features of one class carry so many times the median importance."""
    for features, width in ((40, 0.5), (512, 0.5), (512, 1.0)):
        for times in (10, 30, 100):
            rng = np.random.default_rng(7)
            found = [
                bool(_of_importance(rng, features, 3, width, times).by_share[[3, 4], 0].all())
                for _ in range(runs)
            ]
            case = f"two of F = {features} at {times} times the median, σ = {width:g}"
            yield share("confounders", case, "both found by share", found)


@simulation("confounders")
def planted_place(runs: int) -> Iterator[Line]:
    """A much used feature whose place varies so many times less in its class than elsewhere."""
    for times in (1, 4, 8):
        rng = np.random.default_rng(8)
        planted, innocent = [], []
        for _ in range(runs):
            others = _of_places(rng, times).by_place.copy()
            planted.append(bool(others[3, 0]))
            others[3, 0] = False
            innocent.append(bool(others.any()))
        case = f"place {times} times as steady, 12 cases of each of 3 classes, F = 40"
        if times > 1:
            yield share("confounders", case, "the planted one found by place", planted)
        yield share("confounders", case, "any other", innocent, ("at most", 0.05))


def _of_importance(rng, features: int, classes: int, width: float, times: float = 0.0):
    importance = rng.lognormal(0.0, width, (features, classes))
    if times:
        importance[[3, 4], 0] = times
    importance *= rng.choice([-1.0, 1.0], importance.shape)
    values = np.repeat(importance[None], 2 * classes, axis=0)
    return confounder_candidates(known_analysis(values, np.repeat(np.arange(classes), 2)))


def _of_places(rng, times: float, features: int = 40, classes: int = 3, cases: int = 12):
    importance = rng.lognormal(0.0, 1.0, (features, classes))
    importance[3, 0] = 5 * importance[:, 0].mean()
    usual = 0.1 * rng.lognormal(0.0, 0.5, (features, 1)).repeat(classes, axis=1)
    usual[3, 0] /= times
    places = 0.5 + usual / np.sqrt(3) * rng.normal(size=(cases, 3, features, classes))
    spread = np.sqrt(places.var(axis=0, ddof=1).sum(axis=0))
    truth = np.repeat(np.arange(classes), cases)
    values = np.repeat(importance[None], cases * classes, axis=0)
    dataset = known_analysis(values, truth).dataset.assign(
        position_spread=(("feature", "class"), spread),
        position_cases=(("feature", "class"), np.full(spread.shape, cases)),
    )
    return confounder_candidates(Analysis(dataset))


# --- the table ---------------------------------------------------------------------------------


def measured(sections: list[str], runs: int) -> Iterator[Line]:
    """Every line of the sections."""
    for section in sections:
        for function in SECTIONS[section]:
            yield from function(runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400, help="simulations of each line")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="some of the sections")
    parser.add_argument("--json", type=Path, help="file to write the table to")
    options = parser.parse_args()
    lines = []
    for line in measured(options.sections.split(","), options.runs):
        lines.append(line)
        aim = "" if line.aim is None else f"{line.aim[0]} {line.aim[1]:g}"
        missed = "  MISSED" if line.met is False else ""
        print(
            f"{line.section:12} {line.case:62} {line.figure:28} {line.value:6.3f}"
            f" [{line.low:.3f}, {line.high:.3f}] {aim}{missed}",
            flush=True,
        )
    if options.json is not None:
        table = [asdict(line) | {"met": line.met} for line in lines]
        options.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
