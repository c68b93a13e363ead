"""Every network family that is explained, as small as it can be made: MONAI's and torchvision's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from monai.networks import nets
from monai.networks.nets.diffusion_model_unet import DiffusionModelEncoder
from monai.networks.nets.dints import TopologyInstance
from monai.networks.nets.unet import CheckpointUNet
from torch import Tensor, nn

from tests import peers

torchvision = peers.usable_torchvision()


@dataclass(frozen=True)
class Specimen:
    """A family, and how to make one of it.

    `make(dims)` gives the network, `sizes` the input `[C, *spatial]` per number of spatial axes.
    `output` names the explained one of several outputs, and `inputs(image)` what the network takes
    where that is more than the image. `narrow` is a layer with few features for the methods that
    need a pass per feature, where the recommended one has hundreds; none of them is run unless
    `perturbed`. Of a `large` family there is no small network: on more than the fewest axes only
    those methods are run that are compared with another implementation.
    """

    make: Callable[[int], nn.Module]
    sizes: dict[int, tuple[int, ...]]
    output: int | str | None = None
    inputs: Callable[[Tensor], Any] = lambda image: image
    narrow: str | None = None
    perturbed: bool = True
    large: bool = False
    note: str = ""


def cubes(size: int, *dims: int, channels: int = 1) -> dict[int, tuple[int, ...]]:
    return {count: (channels, *[size] * count) for count in dims}


def se_network(block: str, groups: int) -> Callable[[int], nn.Module]:
    def make(dims: int) -> nn.Module:
        layers = [1, 1, 1, 1]
        return nets.SENet(dims, 1, block, layers, groups, 16, None, inplanes=8, num_classes=3)

    return make


def resnet(block: str) -> Callable[[int], nn.Module]:
    def make(dims: int) -> nn.Module:
        return nets.ResNet(
            block,
            [1, 1, 1, 1],
            [4, 4, 6, 8],
            spatial_dims=dims,
            n_input_channels=1,
            num_classes=3,
            conv1_t_stride=2,
        )

    return make


def vit(proj_type: str) -> Callable[[int], nn.Module]:
    def make(dims: int) -> nn.Module:
        size, patch = (8, 12, 8)[:dims], (4,) * dims
        return nets.ViT(1, size, patch, 8, 8, 2, 2, proj_type, "learnable", True, 3, 0, dims)

    return make


def looking_again(*modules: str) -> ModuleType:
    """The last of MONAI's modules, which may all have been imported before torchvision could be."""
    for name in modules:
        module = importlib.reload(importlib.import_module(f"monai.networks.{name}"))
    return module


SE_SIZES = {2: (1, 64, 16), 3: (1, 64, 16, 16)}

CLASSIFIERS = {
    "ResNet, basic blocks (resnet10, 18, 34)": Specimen(resnet("basic"), cubes(36, 1, 2, 3)),
    "ResNet, bottleneck blocks (resnet50, 101, 152, 200)": Specimen(
        resnet("bottleneck"), cubes(36, 1, 2, 3)
    ),
    "DenseNet (121, 169, 201, 264)": Specimen(
        lambda dims: nets.DenseNet(dims, 1, 3, 4, 2, (2, 2), 2), cubes(36, 1, 2, 3)
    ),
    "SENet (SENet154)": Specimen(
        se_network("se_bottleneck", 64),
        SE_SIZES,
        large=True,
        narrow="layer0",
        note="grouped convolutions",
    ),
    "SEResNet (50, 101, 152)": Specimen(
        se_network("se_resnet_bottleneck", 1), SE_SIZES, large=True, narrow="layer0"
    ),
    "SEResNeXt (50, 101)": Specimen(
        se_network("se_resnetxt_bottleneck", 32),
        SE_SIZES,
        large=True,
        narrow="layer0",
        note="grouped convolutions",
    ),
    "EfficientNet (EfficientNetBN b0 to b8, l2)": Specimen(
        lambda dims: nets.EfficientNet(
            ["r1_k3_s11_e1_i8_o4_se0.25", "r1_k3_s22_e2_i4_o6_se0.25"],
            dims,
            1,
            3,
            width_coefficient=0.1,
            depth_coefficient=0.1,
        ),
        cubes(17, 2, 3),
        note="its activation module is called throughout, so the norm before the last one is taken",
    ),
    "Regressor": Specimen(
        lambda dims: nets.Regressor((1, *[12] * dims), (2,), (4, 6), (2, 2)), cubes(12, 1, 2, 3)
    ),
    "Classifier": Specimen(
        lambda dims: nets.Classifier((1, *[12] * dims), 3, (4, 6), (2, 2)), cubes(12, 1, 2, 3)
    ),
    "Discriminator": Specimen(
        lambda dims: nets.Discriminator((1, *[12] * dims), (4, 6), (2, 2)),
        cubes(12, 1, 2, 3),
        note="ends in a sigmoid; `last_act=None` explains the logit",
    ),
    "Critic": Specimen(
        lambda dims: nets.Critic((1, *[12] * dims), (4, 6), (2, 2)), cubes(12, 1, 2, 3)
    ),
    "ViT, convolution": Specimen(vit("conv"), {2: (1, 8, 12), 3: (1, 8, 12, 8)}),
    "ViT, perceptron": Specimen(vit("perceptron"), {2: (1, 8, 12), 3: (1, 8, 12, 8)}),
    "TorchVisionFCModel": Specimen(
        lambda dims: looking_again("nets.torchvision_fc").TorchVisionFCModel(
            "shufflenet_v2_x0_5", 3, pool=None
        ),
        {2: (3, 64, 32)},
        narrow="features.conv1",
        note="the layer of the torchvision network inside, here ShuffleNet",
    ),
    "NetAdapter": Specimen(
        lambda dims: nets.NetAdapter(resnet("basic")(dims), 3, dims, pool=None),
        cubes(36, 2, 3),
        note="the layer of the network inside, here a ResNet",
    ),
    "DiffusionModelEncoder": Specimen(
        lambda dims: DiffusionModelEncoder(
            dims, 1, 3, (8,) * dims, (1, 1), (4, 8), (False, True), 4, num_head_channels=4
        ),
        cubes(8, 2, 3),
        inputs=lambda image: {"x": image, "timesteps": torch.zeros(len(image))},
        note="two inputs",
    ),
    "VarAutoEncoder, latent mean": Specimen(
        lambda dims: nets.VarAutoEncoder(dims, (1, *[12] * dims), 1, 3, (4, 6), (2, 2)),
        cubes(12, 2, 3),
        output=1,
        note="`output=1`",
    ),
}


def dints(dims: int) -> nn.Module:
    space = TopologyInstance(
        channel_mul=0.125, num_blocks=2, num_depths=2, spatial_dims=dims, use_downsample=False
    )
    return nets.DiNTS(space, 1, 3, spatial_dims=dims, use_downsample=False)


def high_resnet(dims: int) -> nn.Module:
    layers = [
        {"name": "conv_0", "n_features": 4, "kernel_size": 3},
        {"name": "res_1", "n_features": 4, "kernels": (3, 3), "repeat": 2},
        {"name": "res_2", "n_features": 6, "kernels": (3, 3), "repeat": 2},
        {"name": "conv_1", "n_features": 8, "kernel_size": 1},
        {"name": "conv_2", "kernel_size": 1},
    ]
    return nets.HighResNet(dims, 1, 3, layer_params=layers)


def swin_unetr(dims: int) -> nn.Module:
    ones = (1, 1, 1, 1)
    return nets.SwinUNETR(
        1, 3, depths=ones, num_heads=ones, feature_size=12, use_checkpoint=True, spatial_dims=dims
    )


GROUPS = ("GROUP", {"num_groups": 2})

SEGMENTERS = {
    "UNet": Specimen(
        lambda dims: nets.UNet(dims, 1, 3, (4, 6, 8), (2, 2), num_res_units=1), cubes(8, 1, 2, 3)
    ),
    "UNet, checkpointed (CheckpointUNet)": Specimen(
        lambda dims: CheckpointUNet(dims, 1, 3, (4, 6, 8), (2, 2)), cubes(8, 2, 3)
    ),
    "BasicUNet": Specimen(
        lambda dims: nets.BasicUNet(dims, 1, 3, (4, 4, 4, 6, 8, 4)),
        {2: (1, 32, 32), 3: (1, 32, 16, 16)},
    ),
    "BasicUNetPlusPlus": Specimen(
        lambda dims: nets.BasicUNetPlusPlus(dims, 1, 3, (2, 2, 4, 4, 8, 2)),
        {2: (1, 32, 32), 3: (1, 32, 16, 16)},
        output=0,
        note="`output=0`",
    ),
    "AttentionUnet": Specimen(
        lambda dims: nets.AttentionUnet(dims, 1, 3, (4, 6, 8), (2, 2)), cubes(8, 2, 3)
    ),
    "VNet": Specimen(
        lambda dims: nets.VNet(dims, 1, 3, dropout_dim=dims),
        {2: (1, 32, 32), 3: (1, 32, 16, 16)},
        narrow="out_tr.conv_block",
        large=True,
    ),
    "SegResNet": Specimen(
        lambda dims: nets.SegResNet(
            dims, 4, 1, 3, norm=GROUPS, blocks_down=(1, 1, 1), blocks_up=(1, 1)
        ),
        cubes(8, 2, 3),
    ),
    "SegResNetDS": Specimen(
        lambda dims: nets.SegResNetDS(dims, 4, 1, 3, blocks_down=(1, 1, 1)), cubes(8, 2, 3)
    ),
    "SegResNetDS2": Specimen(
        lambda dims: nets.SegResNetDS2(dims, 4, 1, 3, blocks_down=(1, 1, 1)),
        cubes(8, 2, 3),
        output=0,
        note="`output=0`",
    ),
    "SegResNetVAE": Specimen(
        lambda dims: nets.SegResNetVAE(
            (16,) * dims,
            vae_nz=4,
            spatial_dims=dims,
            init_filters=4,
            in_channels=1,
            out_channels=3,
            norm=GROUPS,
            blocks_down=(1, 1, 1),
            blocks_up=(1, 1),
        ),
        cubes(16, 2, 3),
        output=0,
        note="`output=0`",
    ),
    "DynUNet (nnU-Net)": Specimen(
        lambda dims: nets.DynUNet(dims, 1, 3, [3, 3, 3], [1, 2, 2], [2, 2], [4, 6, 8]),
        cubes(8, 2, 3),
    ),
    "SwinUNETR": Specimen(
        swin_unetr,
        {2: (1, 64, 32), 3: (1, 64, 32, 32)},
        narrow="decoder1",
        large=True,
        note="checkpointed",
    ),
    "UNETR": Specimen(
        lambda dims: nets.UNETR(1, 3, (32, 16, 16)[:dims], 2, 8, 8, 2, spatial_dims=dims),
        {2: (1, 32, 16), 3: (1, 32, 16, 16)},
    ),
    "FlexibleUNet": Specimen(
        lambda dims: nets.FlexibleUNet(
            1, 3, "efficientnet-b0", decoder_channels=(4, 4, 4, 4, 4), spatial_dims=dims
        ),
        {2: (1, 64, 32)},
        narrow="decoder.blocks.0",
        note="the layer of the encoder inside, here EfficientNet b0",
    ),
    "MedNeXt": Specimen(
        lambda dims: nets.MedNeXt(
            dims, 2, 1, 3, 1, 1, 1, 3, blocks_down=(1,) * 4, blocks_bottleneck=1, blocks_up=(1,) * 4
        ),
        {2: (1, 32, 32), 3: (1, 32, 16, 16)},
        note="convolutions per channel",
    ),
    "HighResNet": Specimen(high_resnet, cubes(8, 1, 2, 3), note="one grid throughout"),
    "AHNet": Specimen(
        lambda dims: nets.AHNet((1, 1, 1, 1), dims, 1, 3, 1, "bilinear"),
        {2: (1, 64, 64)},
        narrow="final.conv",
    ),
    "DiNTS": Specimen(dints, cubes(16, 2, 3)),
    "Quicknat": Specimen(lambda dims: nets.Quicknat(3, 1, 4), {2: (1, 32, 16)}),
    "DAF3D": Specimen(
        lambda dims: looking_again("blocks.backbone_fpn_utils", "nets.daf3d").DAF3D(1, 2),
        {3: (1, 16, 16, 16)},
        perturbed=False,
        note="the methods that perturb the input are not tested: it has no small variant",
    ),
    "AutoEncoder": Specimen(
        lambda dims: nets.AutoEncoder(dims, 1, 2, (4, 6), (2, 2)), cubes(8, 1, 2, 3)
    ),
    "ViTAutoEnc": Specimen(
        lambda dims: nets.ViTAutoEnc(
            1, (8, 12, 8)[:dims], (4,) * dims, 2, 4, 8, 8, 2, 2, spatial_dims=dims
        ),
        {2: (1, 8, 12), 3: (1, 8, 12, 8)},
    ),
    "PatchDiscriminator": Specimen(
        lambda dims: nets.PatchDiscriminator(dims, 4, 1, num_layers_d=2),
        cubes(16, 2, 3),
        output=3,
        note="`output=` its number of layers + 1",
    ),
}


def vgg(dims: int) -> nn.Module:
    models = torchvision.models
    with torch.device("meta"):  # its classifier has 10^8 weights, which are replaced here
        network = models.VGG(nn.Sequential())
    network.features = models.vgg.make_layers([4, "M", 8, "M"])
    network.classifier = nn.Sequential(nn.Linear(8 * 49, 6), nn.ReLU(True), nn.Linear(6, 3))
    return network


def mobilenet(dims: int) -> nn.Module:
    models = torchvision.models.mobilenetv3
    blocks = [
        models.InvertedResidualConfig(8, 3, 16, 8, True, "RE", 1, 1, 1),
        models.InvertedResidualConfig(8, 3, 16, 8, True, "HS", 2, 1, 1),
    ]
    return models.MobileNetV3(blocks, 12, num_classes=3)


def efficientnet(dims: int) -> nn.Module:
    models = torchvision.models.efficientnet
    blocks = [models.MBConvConfig(2, 3, 1, 8, 8, 1), models.MBConvConfig(2, 3, 2, 8, 8, 1)]
    return models.EfficientNet(blocks, 0.2, num_classes=3, last_channel=12)


TORCHVISION = {
    "ResNet, ResNeXt, Wide ResNet": Specimen(
        lambda dims: torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], 3, width_per_group=4
        ),
        {2: (3, 64, 32)},
        narrow="layer1.0.conv1",
    ),
    "DenseNet": Specimen(
        lambda dims: torchvision.models.DenseNet(
            4, (2, 2), 8, bn_size=2, num_classes=3, memory_efficient=True
        ),
        {2: (3, 32, 32)},
        note="checkpointed; a ReLU and the pooling follow",
    ),
    "VGG": Specimen(vgg, {2: (3, 28, 28)}, note="a head of several linear layers"),
    "EfficientNet": Specimen(efficientnet, {2: (3, 16, 16)}),
    "MobileNetV3": Specimen(mobilenet, {2: (3, 16, 16)}, note="a head of several linear layers"),
    "ConvNeXt": Specimen(
        lambda dims: torchvision.models.ConvNeXt(
            [torchvision.models.convnext.CNBlockConfig(8, None, 2)], num_classes=3, layer_scale=1.0
        ),
        {2: (3, 16, 16)},
        note="a norm behind the pooling",
    ),
    "Swin Transformer": Specimen(
        lambda dims: torchvision.models.SwinTransformer(
            [2, 2], 12, [1, 1], [2, 2], [2, 2], num_classes=3
        ),
        {2: (3, 16, 16)},
    ),
    "ViT": Specimen(
        lambda dims: torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 8, num_classes=3),
        {2: (3, 16, 16)},
    ),
}

#: By the sections of docs/networks.md.
SECTIONS = {
    "MONAI classifiers and regressors": CLASSIFIERS,
    "MONAI segmentation networks": SEGMENTERS,
    "torchvision": TORCHVISION,
}


def tuned(network: nn.Module) -> nn.Module:
    """In float64 and as after training: no statistics, weights or class tokens that are trivial."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) - 0.5)
    for parameter in network.parameters():
        if not parameter.any():
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.data.copy_(noise)
    return network.double()
