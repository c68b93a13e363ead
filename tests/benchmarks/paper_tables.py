"""Tables I to IV of Li et al. (arXiv 2407.01142) on data that are to hand.

    python tests/benchmarks/paper_tables.py --data ../shared/data [--work DIR]
        [--folder ImageNet=DIR] [--page docs/paper_tables.md]
        [--json docs/benchmarks/paper_tables.json]

Trains small MONAI classifiers, writes them as bundles, runs the whole analysis through the public
API, and prints the tables beside what is known of the paper's. Bundles are kept in the folder
``--work``, so that a second run trains nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.cam import METHODS
from tests.benchmarks import machine
from tests.benchmarks.paper import page, tables
from tests.benchmarks.paper.datasets import SETS, Dataset, from_folder
from tests.benchmarks.paper.measured import measure, smaller, without_unknown
from tests.benchmarks.paper.networks import plans
from tests.benchmarks.paper.published import NOTE, PAPER_SETS
from tests.benchmarks.paper.training import trained_bundle

#: The cheap ones; those that perturb the input take a pass per feature.
DEFAULT_METHODS = ("pixelwise", "gradcam", "gradcam++", "xgradcam", "layercam")
#: The findings of this method make Table IV: the paper's own, exact for ReLU networks.
FINDINGS_METHOD = "pixelwise"
QUICK_CASES = 40
PACKAGES = ("numpy", "scipy", "scikit-learn", "xarray", "einops")


def main() -> None:
    """Train, analyse, print, and write what was asked for."""
    options = _options()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        entries = []
        for dataset in _datasets(options, work):
            entries += measured_networks(dataset, work, options)
    ran_on = machine.description(torch.device("cpu"))
    ran_on["versions"] = dict(ran_on["versions"]) | {name: version(name) for name in PACKAGES}  # type: ignore[call-overload]
    result = {
        "machine": ran_on,
        "quick": options.quick,
        "seconds": round(time.perf_counter() - started),
        "note": NOTE,
        "networks": without_unknown(entries),
    }
    text = page.body(result, tables.all_tables(entries))
    print(text)
    if options.json:
        content = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        options.json.write_text(content, encoding="utf-8")
    if options.page:
        page.write(options.page, text)


def measured_networks(dataset: Dataset, work: Path, options: Any) -> list[dict[str, Any]]:
    """One entry for each network of a data set: trained, or the product's own, and measured."""
    first = dataset.training.cases[0].read().array
    channels = first.shape[3] if first.ndim == 4 else 1
    entries = []
    for plan in plans(dataset.name, len(dataset.classes), channels):
        _report(f"{plan.name} ...")
        trained = trained_bundle(plan.quick() if options.quick else plan, dataset, work, _report)
        accuracy = trained.measured["accuracy_test"]
        how = f"trained in {trained.measured['seconds']:.0f} s" if trained.fresh else "kept"
        _report(f"  {how}, test accuracy {100 * accuracy:.1f} %")
        entry = {"network": plan.name, "architecture": plan.architecture, "relu": plan.relu}
        entry["training"] = trained.measured
        entries.append(entry | _run(dataset, trained.folder, options))
        if plan.earlier is not None:
            entry["network"] = f"{plan.name}, {plan.earlier}"
            entries.append(entry | _run(dataset, trained.folder, options, plan.earlier))
    if not entries:
        _report(f"{dataset.name} ...")
        entry = {
            "network": samples.bundle("clean").name,
            "architecture": "3D DenseNet, one block, global average pooling",
            "relu": True,
            "training": {},
        }
        entries.append(entry | _run(dataset, samples.bundle("clean"), options))
    return entries


def _run(dataset: Dataset, bundle: Path, options: Any, layer: str | None = None) -> dict[str, Any]:
    classifier = ifa.load_classifier(bundle, device="cpu", layer=layer)
    top = options.top or PAPER_SETS[dataset.paper_set].kept
    return {
        "data": dataset.name,
        "paper_set": dataset.paper_set,
        "relation": dataset.relation,
        "source": dataset.source,
        "data_sha256": dataset.fingerprint(),
        "cases_training": len(dataset.training),
        "classes": list(dataset.classes),
        "layer": classifier.target_layer,
        "recommended_layer": layer is None,
        "results": [
            measure(classifier, dataset, method, top, method == options.findings, _report)
            for method in options.methods
        ],
    }


def _datasets(options: Any, work: Path) -> list[Dataset]:
    made = [SETS[name](options.data, work) for name in options.sets]
    made += [from_folder(name, folder) for name, folder in options.folder]
    return [smaller(dataset, QUICK_CASES) for dataset in made] if options.quick else made


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="public data")
    parser.add_argument("--work", type=Path, help="keeps the bundles (default: a temporary folder)")
    parser.add_argument(
        "--sets", type=_names(SETS), default=list(SETS), help=f"of {', '.join(SETS)} (default: all)"
    )
    parser.add_argument(
        "--methods",
        type=_names(METHODS),
        default=list(DEFAULT_METHODS),
        help=f"of {', '.join(METHODS)} (default: {','.join(DEFAULT_METHODS)})",
    )
    parser.add_argument(
        "--folder",
        type=_folder,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help=f"a set of yours, a folder per (split and) class; NAME of {', '.join(PAPER_SETS)}",
    )
    parser.add_argument("--top", type=float, help="share kept (default: the authors' for each set)")
    parser.add_argument(
        "--threads", type=int, default=1, help="default: 1; another number rounds otherwise"
    )
    parser.add_argument("--quick", action="store_true", help="few cases, one epoch; no result")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--page", type=Path, help="put the tables into this Markdown page")
    options = parser.parse_args()
    known = FINDINGS_METHOD in options.methods
    options.findings = FINDINGS_METHOD if known else options.methods[0]
    return options


def _names(known: Any) -> Any:
    def names(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no '{unknown[0]}': choose from {', '.join(known)}")
        return chosen

    return names


def _folder(text: str) -> tuple[str, Path]:
    name, _, place = text.partition("=")
    if name not in PAPER_SETS:
        raise argparse.ArgumentTypeError(
            f"'{name}' is not one of the paper's sets: {', '.join(PAPER_SETS)}"
        )
    folder = Path(place).expanduser()
    if not place or not folder.is_dir():
        raise argparse.ArgumentTypeError(f"'{place}' is no folder; give NAME=DIR")
    return name, folder


if __name__ == "__main__":
    main()
