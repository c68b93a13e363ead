"""Where a map comes from: what a file that leaves this program says about itself."""

from __future__ import annotations

from dataclasses import dataclass

#: Said in every exported object, and burnt into every exported picture.
PURPOSE = "not for primary diagnosis"


@dataclass(frozen=True)
class Provenance:
    """The origin of one map of one case.

    Attributes
    ----------
    kind : of map: ``"S-CAM"``, ``"FS-S-CAM"`` (of chosen features), ``"class activation"``, …
    class_name : the class explained.
    model, weights_sha256, layer, method : what the map was made with.
    features : the features kept, in words: ``"all"``, ``"top 5 % (26 of 512)"``.
    scale : the common scale in words, with its percentiles in logits and its basis; empty where
        the values are logits themselves.
    compared_with : with what the class is compared, in words; empty for its logit alone.
    image : what was corrected in the image that the map is of, or is missing in it, in a few
        words: ``"tilt 18.5° corrected · slices interpolated"``; empty where nothing was.
    fit : whether the image was seen to differ from the cohort of the scale, in a few words; empty
        without a cohort.
    """

    kind: str
    class_name: str
    model: str
    weights_sha256: str
    layer: str
    method: str
    features: str = "all"
    scale: str = ""
    compared_with: str = ""
    image: str = ""
    fit: str = ""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        against = f" against {self.compared_with}" if self.compared_with else ""
        parts = [
            f"{self.kind} of class {self.class_name}{against}",
            f"model {self.model}",
            f"weights SHA-256 {self.weights_sha256}",
            f"layer {self.layer}",
            f"method {self.method}",
            f"features {self.features}",
            f"scale {self.scale}" if self.scale else "values in logits",
            *([f"image {self.image}"] if self.image else []),
            *([f"image and cohort: {self.fit}"] if self.fit else []),
            f"research, {PURPOSE}",
        ]
        return "; ".join(parts)
