"""The committed networks: right on their test split, small, and looking at what they should."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ifa import samples
from sample_data.making import bundles, measures
from sample_data.making.training import accuracy


def metadata(version):
    path = samples.bundle(version) / "configs" / "metadata.json"
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_test_accuracy_is_above_ninety_percent_and_as_the_metadata_say(version, request):
    trained = request.getfixturevalue(version)
    measured = accuracy(trained.network, trained.images, trained.labels)
    assert measured > 0.9
    assert metadata(version)["eval_metrics"]["accuracy_test"] == pytest.approx(measured, abs=1e-3)


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_configuration_is_what_the_generator_writes(version):
    path = samples.bundle(version) / "configs" / "inference.json"
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(bundles.INFERENCE))
    assert "$" not in path.read_text("utf-8")
    outputs = metadata(version)["network_data_format"]["outputs"]["pred"]
    assert outputs["channel_def"] == {"0": "healthy", "1": "bright lesion", "2": "dark lesion"}


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_weights_are_under_3_megabytes(version):
    assert (samples.bundle(version) / "models" / "model.pt").stat().st_size < 3_000_000


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_class_activation_sums_to_the_logits(version, request):
    trained = request.getfixturevalue(version)
    activation = measures.class_activation(trained.network, trained.images[:2])
    assert activation.shape == (2, 3, 14, 16, 12)
    logits = trained.network(trained.images[:2]).detach()
    np.testing.assert_allclose(activation.sum((2, 3, 4)), logits, atol=1e-3)


def test_class_activation_lies_on_the_lesions_and_is_pale_in_healthy_heads(clean, clean_masks):
    fit = measures.localisation(clean.network, clean.images, clean.labels, clean_masks)
    assert fit.pointing > 0.9
    assert fit.inside > 10 * fit.chance
    assert fit.inside_margin > 0.3
    assert fit.strength_lesion > 0.95
    assert fit.strength_healthy < 0.5
    assert fit.mean_healthy < 0.5 * fit.mean_lesion


def test_scaled_per_image_a_healthy_head_glows_as_much_as_one_with_a_lesion(clean):
    """The reason for a common scale: min-max per image stretches whatever there is to 1."""
    activation = measures.class_activation(clean.network, clean.images)[:, 1].flatten(1)
    healthy = activation[clean.labels == 0].clamp(min=0).amax(1)
    lesion = activation[clean.labels == 1].clamp(min=0).amax(1)
    assert (healthy > 0).float().mean() > 0.8
    assert lesion.min() > 10 * healthy.max()
