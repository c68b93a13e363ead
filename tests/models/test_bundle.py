from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet
from monai.transforms import Compose, LoadImaged

from napari_ifa.errors import BundleError, ExplanationError, UntrustedModelError
from napari_ifa.models import load_classifier
from napari_ifa.models.preprocessing import input_lps_affine
from napari_ifa.models.problems import BundleProblem as Problem
from napari_ifa.models.problems import NetworkProblem, PreprocessingProblem
from napari_ifa.reading import read_volume
from tests.problems import refused

NETWORK = {
    "_target_": "DenseNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "init_features": 4,
    "growth_rate": 4,
    "block_config": [1, 1],
}
PREPROCESSING = {
    "_target_": "Compose",
    "transforms": [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0]},
        {"_target_": "NormalizeIntensityd", "keys": "image"},
        {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": "@size"},
    ],
}
CONFIG = {
    "size": [16, 24, 16],
    "network_def": NETWORK,
    "preprocessing": PREPROCESSING,
    "postprocessing": {"_target_": "Activationsd", "keys": "pred", "softmax": True},
}
METADATA = {
    "name": "two classes",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [16, 24, 16]}},
        "outputs": {"pred": {"channel_def": {"0": "healthy", "1": "lesion"}}},
    },
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The configuration with one entry (``a.b.0``) replaced."""
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    *path, last = key.split(".")
    node: Any = config
    for part in path:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
    return config


def with_input(**image: Any) -> dict[str, Any]:
    """The metadata with another description of the input image."""
    metadata: dict[str, Any] = copy.deepcopy(METADATA)
    metadata["network_data_format"]["inputs"]["image"] |= image
    return metadata


def write_bundle(folder: Path, config: Any = None, metadata: Any = None) -> Path:
    network = DenseNet(**{k: v for k, v in NETWORK.items() if k != "_target_"})
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config or CONFIG))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata or METADATA))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An oblique image stored left-posterior-superior, with unequal spacing."""
    rng = np.random.default_rng(0)
    angle = np.radians(10)
    affine = np.diag([-1.5, -1.2, 2.5, 1.0])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ affine
    affine[:3, 3] = [30.0, -12.0, 7.0]
    path = tmp_path / "image.nii.gz"
    array = rng.integers(0, 1000, (20, 30, 14)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def test_a_bundle_becomes_a_classifier(tmp_path: Path) -> None:
    classifier = load_classifier(write_bundle(tmp_path / "bundle"))

    assert classifier.name == "two classes"
    assert classifier.class_names == ("healthy", "lesion")
    assert classifier.output_activation == "softmax"
    assert not classifier.network.training
    assert classifier.target_layer in dict(classifier.network.named_modules())
    np.testing.assert_allclose(classifier.probabilities([0.0, np.log(3)]), [0.25, 0.75])


def test_the_network_sees_what_monais_own_loader_gives(tmp_path: Path, image: Path) -> None:
    classifier = load_classifier(write_bundle(tmp_path / "bundle"))
    chain = classifier.preprocessing.chain.transforms[1:]
    expected = Compose([LoadImaged("image"), *chain])({"image": str(image)})["image"]

    found = classifier.preprocess(read_volume(image))

    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


def test_the_inputs_affine_places_its_voxels_in_the_patient(tmp_path: Path, image: Path) -> None:
    """Without a change of grid, a voxel of the input holds the value the image has there."""
    config = changed("preprocessing.transforms", PREPROCESSING["transforms"][:3])
    classifier = load_classifier(write_bundle(tmp_path / "bundle", config))
    volume = read_volume(image)

    found = classifier.preprocess(volume)

    to_image = np.linalg.inv(volume.affine) @ input_lps_affine(found)
    for index in [(0, 0, 0), (3, 5, 7), (19, 29, 13)]:
        i, p, left = np.rint((to_image @ [*index, 1.0])[:3]).astype(int)
        assert found[(0, *index)] == volume.array[i, p, left]


def test_yaml_and_named_references_are_read(tmp_path: Path) -> None:
    import yaml

    folder = write_bundle(tmp_path / "bundle", changed("network_def.out_channels", "@classes"))
    config = json.loads((folder / "configs" / "inference.json").read_text()) | {"classes": 2}
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.yaml").write_text(yaml.safe_dump(config))

    assert load_classifier(folder).class_names == ("healthy", "lesion")


def test_equal_definitions_have_one_identity_and_other_weights_another(tmp_path: Path) -> None:
    one = load_classifier(write_bundle(tmp_path / "one"))
    turned = dict(reversed(CONFIG.items()))
    other = load_classifier(write_bundle(tmp_path / "other", turned))

    differing = {k for k, v in one.identity().items() if other.identity()[k] != v}
    assert differing == {"weights"}


MARKER = "made_by_a_bundle"
VICTIM = "a_file_of_the_person"
HARMFUL = {
    "expression": changed("network_def.out_channels", f"$open('{MARKER}', 'w') and 2"),
    "expression deep inside": changed("preprocessing.transforms.4.keys", "$['image']"),
    "macro to another file": changed("network_def", "%../../elsewhere.json::network_def"),
    "another library": changed(
        "network_def", {"_target_": "os.system", "command": f"touch {MARKER}"}
    ),
    "a library reached through an allowed one": changed(
        "network_def",
        {
            "_target_": "monai.networks.nets.densenet.torch.hub.os.system",
            "command": f"touch {MARKER}",
        },
    ),
    "builtins through a module": changed(
        "network_def", {"_target_": "monai.transforms.__builtins__.eval", "source": "1"}
    ),
    "a function that is no network": changed(
        "network_def", {"_target_": "torch.nn.init.eye_", "tensor": 1}
    ),
    "a method": changed("network_def", {"_target_": "torch.nn.Module.compile"}),
    "a callable mode": changed("network_def", {**NETWORK, "_mode_": "callable"}),
    "an import on the side": changed("network_def", {**NETWORK, "_requires_": "$import os"}),
    "a transform that evaluates text": changed(
        "preprocessing.transforms.4",
        {"_target_": "Lambdad", "keys": "image", "func": f"open('{MARKER}', 'w')"},
    ),
    "its long name": changed(
        "preprocessing.transforms.4",
        {
            "_target_": "monai.transforms.utility.dictionary.RandLambdad",
            "keys": "image",
            "func": "1",
        },
    ),
    "a transform that writes files": changed(
        "preprocessing.transforms.4", {"_target_": "SaveImaged", "keys": "image"}
    ),
    "a transform that deletes and writes files": changed(
        "preprocessing.transforms.4",
        {
            "_target_": "SaveClassificationd",
            "keys": "image",
            "output_dir": ".",
            "filename": VICTIM,
        },
    ),
    "a network that reads any file": changed(
        "network_def", {"_target_": "Transchex", "path_or_repo_id": "/etc", "filename": "passwd"}
    ),
    "a function that makes files beside a network": changed(
        "network_def",
        {"_target_": "monai.networks.trt_compiler.trt_compile", "base_path": MARKER},
    ),
    "something of monai that is neither": changed(
        "network_def", {"_target_": "monai.bundle.scripts.download", "name": "x"}
    ),
    "a module": changed("network_def", {"_target_": "monai.networks.nets"}),
    "no text at all": changed("network_def", {"_target_": 7}),
}


@pytest.mark.parametrize("config", HARMFUL.values(), ids=HARMFUL.keys())
def test_what_could_run_code_is_refused_and_nothing_is_run(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / VICTIM).touch()
    with pytest.raises(UntrustedModelError):
        load_classifier(write_bundle(tmp_path / "bundle", config))
    assert not (tmp_path / MARKER).exists()
    assert (tmp_path / VICTIM).exists()


def test_a_refusal_names_the_place_and_what_stands_there(tmp_path: Path) -> None:
    config = changed("preprocessing.transforms.4", {"_target_": "Lambdad", "keys": "image"})
    with refused(
        UntrustedModelError,
        Problem.UNKNOWN_COMPONENT,
        name="Lambdad",
        where="preprocessing::transforms::4",
    ):
        load_classifier(write_bundle(tmp_path / "bundle", config))


def test_trust_runs_the_bundles_own_expressions(tmp_path: Path) -> None:
    config = changed("network_def.out_channels", "$1 + 1")

    classifier = load_classifier(write_bundle(tmp_path / "bundle", config), trust=True)

    assert classifier.class_names == ("healthy", "lesion")


def test_weights_that_hold_code_are_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / MARKER),)

    folder = write_bundle(tmp_path / "bundle")
    torch.save({"weight": Harmful()}, folder / "models" / "model.pt")

    with refused(BundleError, Problem.NOT_PLAIN_WEIGHTS, file="model.pt"):
        load_classifier(folder)
    assert not (tmp_path / MARKER).exists()


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "models" / "model.pt").rename(tmp_path / "elsewhere.pt")
    (folder / "models" / "model.pt").symlink_to(tmp_path / "elsewhere.pt")

    with refused(BundleError, Problem.OUTSIDE, file="models/model.pt"):
        load_classifier(folder)


def test_a_network_never_fetches_weights_of_its_own(tmp_path: Path) -> None:
    """``pretrained`` would reach for the internet; the bundle's own weights are what counts."""
    config = changed(
        "network_def",
        {
            "_target_": "EfficientNetBN",
            "model_name": "efficientnet-b0",
            "num_classes": 2,
            "pretrained": True,
        },
    )
    with refused(BundleError, Problem.NETWORK_TOO_LARGE):
        load_classifier(write_bundle(tmp_path / "bundle", config))


def test_a_transform_that_loses_the_position_is_named(tmp_path: Path, image: Path) -> None:
    lossy = {"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1, 3]}
    with refused(BundleError, PreprocessingProblem.POSITION_LOST, transform="Transposed"):
        load_classifier(write_bundle(tmp_path / "a", changed("preprocessing.transforms.4", lossy)))
    for name, unseen in {
        "AvgPool3d": {"_target_": "torch.nn.AvgPool3d", "kernel_size": 2},
        "RandGridDistortiond": {"_target_": "RandGridDistortiond", "keys": "image", "prob": 1.0},
    }.items():
        config = changed("preprocessing.transforms.4", unseen)
        with refused(BundleError, PreprocessingProblem.POSITION_LOST, transform=name):
            load_classifier(write_bundle(tmp_path / name, config))
    dropping = {"_target_": "EnsureTyped", "keys": "image", "track_meta": False}
    classifier = load_classifier(
        write_bundle(tmp_path / "b", changed("preprocessing.transforms.5", dropping))
    )
    with refused(ExplanationError, PreprocessingProblem.POSITION_LOST, transform="EnsureTyped"):
        classifier.preprocess(read_volume(image))


@pytest.mark.parametrize(
    ("config", "metadata", "kind", "facts"),
    [
        (changed("preprocessing", "@nothing"), None, Problem.NO_ENTRY, {"entry": "nothing"}),
        (
            changed("network_def", "@network_def"),
            None,
            Problem.ENTRIES_IN_A_CIRCLE,
            {"entry": "network_def"},
        ),
        (
            changed("network_def.no_such_option", 1),
            None,
            Problem.CANNOT_BE_BUILT,
            {"name": "DenseNet", "where": "network_def"},
        ),
        (changed("network_def", {"a": 1}), None, Problem.NO_NETWORK, {}),
        (
            changed("preprocessing.transforms.0", PREPROCESSING["transforms"][1]),
            None,
            PreprocessingProblem.NO_LOADER,
            {},
        ),
        ({"network_def": NETWORK}, None, Problem.NO_ENTRY, {"entry": "preprocessing"}),
        (changed("network_def.out_channels", 3), None, Problem.WEIGHTS_DO_NOT_FIT, {}),
        (
            None,
            METADATA
            | {"network_data_format": {"outputs": {"pred": {"channel_def": {"0": "only"}}}}},
            Problem.CLASSES_AND_OUTPUTS,
            {"outputs": 2, "classes": 1},
        ),
        (
            None,
            METADATA
            | {"network_data_format": {"outputs": {"pred": {"channel_def": {"0": "a", "2": "b"}}}}},
            Problem.CLASS_NUMBERS,
            {},
        ),
        ([1], None, Problem.NO_TABLE, {"file": "inference.json"}),
        (None, with_input(num_channels="x"), Problem.INPUT_SHAPE, {}),
        (None, with_input(spatial_shape=5), Problem.INPUT_SHAPE, {}),
        (
            None,
            with_input(spatial_shape=[10**6] * 3),
            Problem.INPUT_TOO_LARGE,
            {"shape": [1, 1, *[10**6] * 3]},
        ),
        (None, with_input(num_channels=2), Problem.INPUT_DOES_NOT_FIT, {}),
    ],
)
def test_what_is_wrong_with_a_bundle_is_said(config, metadata, kind, facts, tmp_path: Path) -> None:
    with refused(BundleError, kind, **facts):
        load_classifier(write_bundle(tmp_path / "bundle", config, metadata))


def test_a_folder_that_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with refused(BundleError, Problem.NO_FILE, file="configs/inference.json"):
        load_classifier(tmp_path)
    with refused(BundleError, Problem.NOT_A_FOLDER):
        load_classifier(tmp_path / "nowhere")


def test_an_unknown_layer_is_answered_with_near_ones(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    asked = "features.denseblock9"
    with refused(ExplanationError, NetworkProblem.NO_SUCH_LAYER, asked=asked) as caught:
        load_classifier(folder, layer=asked)
    assert "features.denseblock1" in caught.value.facts["near"]
    assert (
        load_classifier(folder, layer="features.denseblock1").target_layer == "features.denseblock1"
    )


def test_classes_are_found_by_name_or_number(tmp_path: Path) -> None:
    classifier = load_classifier(write_bundle(tmp_path / "bundle"))

    assert classifier.class_index("lesion") == classifier.class_index("1") == 1
    with refused(BundleError, Problem.NO_SUCH_CLASS, asked="stroke", classes=("healthy", "lesion")):
        classifier.class_index("stroke")


def test_a_number_is_a_number_also_where_classes_are_called_by_numbers(tmp_path: Path) -> None:
    metadata = copy.deepcopy(METADATA)
    pred = metadata["network_data_format"]["outputs"]["pred"]
    pred["channel_def"] = {"0": "1", "1": "2"}

    classifier = load_classifier(write_bundle(tmp_path / "bundle", metadata=metadata))

    assert classifier.class_index(1) == 1
    assert classifier.class_index("1") == 0
    with refused(BundleError, Problem.NO_SUCH_CLASS, asked="2"):
        classifier.class_index(2)


def test_a_yaml_file_that_contains_itself_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "configs" / "inference.json").unlink()
    text = "network_def: &a [*a]\npreprocessing: 1\n"
    (folder / "configs" / "inference.yaml").write_text(text)

    with refused(BundleError, Problem.CONTAINS_ITSELF, anchor="a"):
        load_classifier(folder)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "torchvision" else find_spec(n, *a)
    )
    config = changed("network_def", {"_target_": "torchvision.models.resnet18"})

    with refused(BundleError, Problem.NEEDS_PACKAGE, package="torchvision"):
        load_classifier(write_bundle(tmp_path / "bundle", config))


@pytest.mark.parametrize("trust", [False, True])
def test_arguments_of_the_reader_are_followed_with_trust_and_without(
    trust: bool, tmp_path: Path, image: Path
) -> None:
    loader = {
        "_target_": "LoadImaged",
        "keys": "image",
        "reader": "NibabelReader",
        "as_closest_canonical": True,
        "prune_meta_pattern": "spatial",
    }
    steps = [loader, PREPROCESSING["transforms"][1]]
    config = changed("preprocessing.transforms", steps)
    classifier = load_classifier(write_bundle(tmp_path / "bundle", config), trust=trust)
    arguments = {key: value for key, value in loader.items() if key != "_target_"}
    chain = Compose([LoadImaged(**arguments), *classifier.preprocessing.chain.transforms[1:]])
    expected = chain({"image": str(image)})["image"]

    found = classifier.preprocess(read_volume(image))

    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


@pytest.mark.parametrize("trust", [False, True])
def test_an_argument_that_is_not_reproduced_is_refused_with_trust_and_without(
    trust: bool, tmp_path: Path
) -> None:
    loader = {"_target_": "LoadImaged", "keys": "image", "reader": "PydicomReader"}
    config = changed("preprocessing.transforms.0", {**loader, "fname_regex": ".*_1"})
    with refused(BundleError, PreprocessingProblem.READER_ARGUMENT, argument="fname_regex"):
        load_classifier(write_bundle(tmp_path / "bundle", config), trust=trust)


def test_trusted_code_that_moves_the_image_is_followed_and_said(
    tmp_path: Path, image: Path
) -> None:
    flip = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x.flip(1)"}
    config = changed("preprocessing.transforms", [*PREPROCESSING["transforms"][:3], flip])
    classifier = load_classifier(write_bundle(tmp_path / "bundle", config), trust=True)
    volume = read_volume(image)

    found = classifier.prepare(volume)

    assert "'Lambdad' moves the image" in found.notes[0]
    to_image = np.linalg.inv(volume.affine) @ input_lps_affine(found.image)
    for index in [(0, 0, 0), (3, 5, 7), (19, 29, 13)]:
        i, p, left = np.rint((to_image @ [*index, 1.0])[:3]).astype(int)
        assert found.image[(0, *index)] == volume.array[i, p, left]


@pytest.mark.parametrize("file", ["configs/inference.json", "configs/metadata.json"])
def test_a_link_that_leads_round_in_a_circle_is_refused(file: str, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / file).unlink()
    (folder / file).symlink_to(folder / file)
    with refused(BundleError, Problem.LINK_IN_A_CIRCLE, file=file):
        load_classifier(folder)


def test_one_stored_number_that_stands_for_a_billion_is_not_unpacked(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    name = next(key for key, value in state.items() if value.dtype == torch.int64)
    torch.save(state | {name: torch.zeros(1).expand(10**12)}, folder / "models" / "model.pt")
    with refused(BundleError, Problem.WEIGHTS_DO_NOT_FIT, file="model.pt"):
        load_classifier(folder)


def test_names_of_classes_are_letters_that_are_seen_and_told_apart(tmp_path: Path) -> None:
    metadata: dict[str, Any] = copy.deepcopy(METADATA)
    pred = metadata["network_data_format"]["outputs"]["pred"]
    pred["channel_def"] = {"0": "\x1b[2J\u202elesion", "1": "\u200b"}
    metadata["name"] = "mine\x07"
    classifier = load_classifier(write_bundle(tmp_path / "bundle", metadata=metadata))
    assert classifier.class_names == ("[2J lesion", "class 1")
    assert classifier.name.isprintable()
    assert classifier.features is not None
