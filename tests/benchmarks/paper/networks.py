"""The networks of the tables as MONAI configurations, and how each is trained: plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_RELU = ["relu", {"inplace": False}]
PICTURE_SIZE = (128, 128)
CUBE_SIZE = (32, 32, 32)
DIGIT_SIZE = (28, 28)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    epochs : at most; training stops earlier after ``patience`` epochs without a lower loss on the
        validation cases (a ``validation`` share of the training cases), and the best weights are
        kept. Without a validation share the last weights are.
    smoothing : of the labels.
    mirrored : image axes along which images are mirrored at random.
    turned, scaled, moved : largest random rotation (degrees), change of size and shift (shares).
    changed : largest random change of contrast and brightness; noise a tenth of it.
    """

    epochs: int
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    patience: int | None = None
    validation: float = 0.15
    smoothing: float = 0.05
    mirrored: tuple[int, ...] = ()
    turned: float = 10.0
    scaled: float = 0.1
    moved: float = 0.06
    changed: float = 0.15
    seed: int = 2407


@dataclass(frozen=True)
class NetworkPlan:
    """A network, what it sees and how it is trained.

    Attributes
    ----------
    name : of the bundle.
    architecture : in words, for the tables.
    relu : whether all its activations are ReLU, for which pixelwise weights add up to the logit.
    network, preprocessing : as a bundle's configuration holds them.
    shape : ``[C, *spatial]`` of the input.
    earlier : a layer further away from the answer that is measured too, behind which the network is
        not linear; None for none.
    """

    name: str
    architecture: str
    relu: bool
    network: dict[str, Any]
    preprocessing: dict[str, Any]
    shape: tuple[int, ...]
    recipe: Recipe
    earlier: str | None = None

    def quick(self) -> NetworkPlan:
        """One epoch: to see that it runs."""
        return replace(self, recipe=replace(self.recipe, epochs=1))


def plans(dataset: str, classes: int, channels: int = 1) -> list[NetworkPlan]:
    """The networks that are trained on a data set; none for one that brings its own bundle."""
    if dataset == "digits":
        return [_digits_transformer(classes), _digits_cnn(classes)]
    if dataset == "lidc_nodules":
        return [_nodules_cnn(classes)]
    if dataset == "breast_ultrasound":
        return [_dense_cnn(dataset, classes, channels)]
    if dataset == "sample_heads":
        return []
    return [_residual_cnn(dataset, classes, channels)]


def _digits_transformer(classes: int) -> NetworkPlan:
    network = {
        "_target_": "monai.networks.nets.ViT",
        "in_channels": 1,
        "img_size": list(DIGIT_SIZE),
        "patch_size": [4, 4],
        "hidden_size": 48,
        "mlp_dim": 96,
        "num_layers": 3,
        "num_heads": 4,
        "classification": True,
        "num_classes": classes,
        "spatial_dims": 2,
        "post_activation": "none",
    }
    recipe = Recipe(
        epochs=40, batch=64, learning_rate=3e-3, patience=8, validation=0.1, changed=0.05
    )
    return NetworkPlan(
        "digits_transformer",
        "transformer: 3 layers, 48 features, patches of 4²",
        False,
        network,
        _digit_preprocessing(),
        (1, *DIGIT_SIZE),
        recipe,
    )


def _digits_cnn(classes: int) -> NetworkPlan:
    network = {
        "_target_": "monai.networks.nets.Classifier",
        "in_shape": [1, *DIGIT_SIZE],
        "classes": classes,
        "channels": [16, 32, 64],
        "strides": [1, 2, 2],
        "num_res_units": 0,
        "act": "relu",
        "norm": "batch",
    }
    recipe = Recipe(epochs=12, batch=64, patience=4, validation=0.1, changed=0.05)
    return NetworkPlan(
        "digits_cnn",
        "CNN: three convolutions, one linear layer over all places",
        True,
        network,
        _digit_preprocessing(),
        (1, *DIGIT_SIZE),
        recipe,
    )


def _residual_cnn(dataset: str, classes: int, channels: int) -> NetworkPlan:
    network = {
        "_target_": "monai.networks.nets.ResNet",
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "block_inplanes": [16, 32, 64, 128],
        "spatial_dims": 2,
        "n_input_channels": channels,
        "conv1_t_stride": 2,
        "no_max_pool": True,
        "num_classes": classes,
    }
    return NetworkPlan(
        f"{dataset}_resnet",
        "ResNet10, 16 to 128 features, global average pooling",
        True,
        network,
        _picture_preprocessing(),
        (channels, *PICTURE_SIZE),
        Recipe(
            epochs=30, patience=8, mirrored=(1,), turned=15.0, scaled=0.2, moved=0.1, changed=0.4
        ),
        earlier="layer3",
    )


def _dense_cnn(dataset: str, classes: int, channels: int) -> NetworkPlan:
    network = {
        "_target_": "monai.networks.nets.DenseNet",
        "spatial_dims": 2,
        "in_channels": channels,
        "out_channels": classes,
        "init_features": 16,
        "growth_rate": 16,
        "block_config": [3, 3, 3],
        "act": _RELU,
    }
    return NetworkPlan(
        f"{dataset}_densenet",
        "DenseNet, three blocks of three, global average pooling",
        True,
        network,
        _picture_preprocessing(),
        (channels, *PICTURE_SIZE),
        Recipe(epochs=30, mirrored=(1,), turned=15.0, scaled=0.2, moved=0.1, changed=0.2),
    )


def _nodules_cnn(classes: int) -> NetworkPlan:
    network = {
        "_target_": "monai.networks.nets.ResNet",
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "block_inplanes": [8, 16, 32, 64],
        "spatial_dims": 3,
        "n_input_channels": 1,
        "conv1_t_size": 5,
        "conv1_t_stride": 1,
        "no_max_pool": True,
        "num_classes": classes,
    }
    return NetworkPlan(
        "lidc_nodules_resnet",
        "3D ResNet10, 8 to 64 features, global average pooling",
        True,
        network,
        _cube_preprocessing(),
        (1, *CUBE_SIZE),
        Recipe(
            epochs=40,
            batch=8,
            learning_rate=3e-3,
            validation=0.0,
            mirrored=(1, 2, 3),
            turned=30.0,
        ),
    )


def _digit_preprocessing() -> dict[str, Any]:
    return _chain(_range(255))


def _picture_preprocessing() -> dict[str, Any]:
    resized = {
        "_target_": "Resized",
        "keys": "image",
        "spatial_size": list(PICTURE_SIZE),
        "mode": "area",
    }
    # Exposure and gain differ from image to image.
    spread = {
        "_target_": "ScaleIntensityRangePercentilesd",
        "keys": "image",
        "lower": 1,
        "upper": 99,
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    }
    return _chain(resized, spread)


def _cube_preprocessing() -> dict[str, Any]:
    cropped = {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": list(CUBE_SIZE)}
    return _chain(_range(1000), cropped)


def _range(most: float) -> dict[str, Any]:
    return {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": 0.0,
        "a_max": float(most),
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    }


def _chain(*steps: dict[str, Any]) -> dict[str, Any]:
    loaded = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
    ]
    typed = {"_target_": "EnsureTyped", "keys": "image"}
    return {"_target_": "Compose", "transforms": [*loaded, *steps, typed]}
