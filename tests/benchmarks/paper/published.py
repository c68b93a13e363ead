"""What is known of the paper's own figures, and from where; nothing here was measured by us.

Li et al., "Integrated feature analysis for deep learning interpretation and class activation maps"
(arXiv 2407.01142). To hand are its abstract and the authors' public code, not the cells of its
tables. A figure that is not to hand is None and printed as such.
"""

from __future__ import annotations

from dataclasses import dataclass

NOT_TO_HAND = "not to hand"
ABSTRACT = "abstract"
CODE = "authors' code"


@dataclass(frozen=True)
class PaperSet:
    """One of the paper's eight data sets.

    ``kept`` is the share of features that the authors' public code keeps for it as principal ones
    (``runner/predefined_runner.py``).
    """

    title: str
    network: str
    kept: float


#: The eight sets, in the order of the paper's abstract; networks and shares as in the public code.
PAPER_SETS: dict[str, PaperSet] = {
    "MNIST": PaperSet("handwritten digits (MNIST)", "two convolutions, two linear layers", 0.30),
    "ImageNet": PaperSet("natural images (ILSVRC2012)", "VGG, ResNet", 0.30),
    "CatsDogs": PaperSet("natural images (cats and dogs)", "VGG, ResNet, own", 0.05),
    "SIIM-ISIC": PaperSet("skin photographs (SIIM-ISIC)", "ResNet34", 0.20),
    "BUSI": PaperSet("breast ultrasound (BUSI)", "own", 0.05),
    "LUNA16": PaperSet("CT of lung nodules (LUNA16)", "VGG11", 0.05),
    "RSNA": PaperSet("chest X-rays (RSNA)", "VGG16", 0.05),
    "ESMIRA": PaperSet("MR of the wrist (ESMIRA)", "own", 0.05),
}

#: The abstract's words, in short; ``None`` in a cell means that the cell itself is not to hand.
CONSISTENCY = "all very close to 100 % (eight sets)"
PRINCIPAL = "5–25 % of the features: the same performance as all (eight sets)"

NOTE = (
    "The cells of the paper's tables are not to hand: beside our figures stand the statements of"
    " its abstract (consistency of its method 'all very close to 100 %' on eight data sets; '5%-25%"
    " of features' give 'the same model performances as using all features') and the shares of"
    " features that the authors' public code keeps. No other figure of the paper is quoted. Which"
    " of its four tables holds which quantity could not be checked either; the numbering follows"
    " the order in which the method is evaluated."
)
