"""What can be wrong with a class activation, for code; the sentences lie where they are raised."""

from __future__ import annotations

from enum import Enum


class ExplanationProblem(Enum):
    """Why a class activation cannot be computed."""

    # Settings and the layer
    NO_SUCH_METHOD = "no such method"
    SETTING_NOT_USED = "the method has no such setting"
    SAMPLES = "number of samples"
    NOISE = "noise"
    SEED = "seed"
    AUTOCAST = "type of autocast"
    SEVERAL_LAYERS = "several layers where one is explained"
    NO_LAYERS = "no list of layers"
    NO_SUCH_LAYER = "no such layer"
    FOREIGN_LAYER = "the layer is of another network"
    LAYER_TYPE = "neither a name nor a module"
    LAYER_NOT_CHOSEN = "no layer before the first input"
    LAYER_NOT_REACHED = "the layer is not reached"
    LAYER_CALLED_AGAIN = "the layer is called more than once"
    LAYER_OUTPUT_TYPE = "the layer gives no tensor"
    NO_GRID = "the layer has no grid"
    HEAD_NOT_POOLED = "no global average pooling and linear layer"
    NOT_OPEN = "used outside of its with block"
    SETTINGS_FIXED = "settings that are fixed in the network that was cut"
    # The image
    NO_CASE = "no case"
    IMAGE_TYPE = "image of whole numbers"
    NO_MEMORY = "not enough memory"
    STOPPED = "stopped"
    # The class, the function and the region that are explained
    CLASS_NEEDED = "a segmentation without a class"
    CLASS_TYPE = "not a class"
    CLASSES_PER_CASE = "classes for another number of cases"
    NO_SUCH_CLASS = "no such class"
    FUNCTIONS_PER_CASE = "functions for another number of cases"
    FUNCTION_FAILS = "the function fails"
    FUNCTION_RESULT = "the function gives more than one number"
    FUNCTION_WITHOUT_GRADIENT = "the function gives no gradient"
    REGION_AND_FUNCTION = "a region and a function"
    REGION_TYPE = "not a region"
    REGION_SHAPE = "region of another shape"
    REGION_EMPTY = "region without a voxel"
    REGION_NOT_FINITE = "region with values that are not finite"
    REGION_WITHOUT_MAP = "a region where the network returns no map"
    CLASS_NOT_PREDICTED = "the class is predicted nowhere"
    # What the network returns
    SINGLE_NUMBER = "one number for the batch"
    MAP_OF_LOGITS = "a map and no region"
    NOT_LOGITS = "classes instead of logits"
    SEVERAL_OUTPUTS = "several outputs"
    NO_SUCH_OUTPUT = "no such output"
    OUTPUT_TYPE = "the network returns no tensor"
    ROWS_OF_LOGITS = "rows of logits for another number of cases"
    ROWS_OF_HEAD = "the head takes another number of cases"
    NOT_FINITE = "values that are not finite"
    INFERENCE_MODE = "weights made under inference mode"
    # Gradients and scores
    NO_GRADIENT = "no gradient"
    GRADIENT_FAILS = "the gradient cannot be computed"
    ZERO_GRADIENT = "the gradient is zero"
    CONSTANT_FEATURES = "every feature is constant"
    SCORES_NOT_FINITE = "scores that are not finite"
    # Masks of features
    NOT_ADDITIVE = "the contributions are not the logits"
    MASK_TYPE = "mask that is no array of numbers"
    MASK_SHAPE = "masks of another number of axes"
    MASK_SIZE = "mask for another number of features"
    FILL_SHAPE = "filling of another shape"
