"""What can be wrong with a class activation: the kinds, each with its sentence."""

from __future__ import annotations

from enum import Enum


class ExplanationProblem(Enum):
    """Why a class activation cannot be computed."""

    # Settings and the layer
    NO_SUCH_METHOD = "There is no method '{asked}': {hint}choose one of {methods}."
    SETTING_NOT_USED = "Method '{method}' has no {setting} to be set: leave it out."
    SAMPLES = "The number of samples must be 1 or a larger whole number, not {found}."
    NOISE = "The noise is a standard deviation, 0 or larger, and not {found}."
    SEED = "The seed must be a whole number from 0 to 2**64 - 1, not {found}."
    AUTOCAST = (
        "Perturbed inputs run under autocast in torch.float16 or torch.bfloat16, not in {found}."
    )
    SEVERAL_LAYERS = (
        "Several target layers are explained together by fused_class_activation; name one here."
    )
    NO_LAYERS = "The target layers must be a list of one or more layers."
    NO_SUCH_LAYER = "The network has no layer '{asked}'{hint}"
    FOREIGN_LAYER = "The target layer is not a module of this network."
    LAYER_TYPE = "The target layer must be a dotted name or a module, not a {found}."
    LAYER_NOT_CHOSEN = "The target layer is chosen with the first input."
    LAYER_NOT_REACHED = "Layer '{layer}' is not reached in a forward pass: choose another layer."
    LAYER_CALLED_AGAIN = (
        "Layer '{layer}' is called more than once in a forward pass: choose a block around it."
    )
    LAYER_OUTPUT_TYPE = "Layer '{layer}' gives {found}, not one tensor of features."
    NO_GRID = (
        "Layer '{layer}' has no spatial output: it gives {gives} for an input of shape {given},"
        " where [cases, features, grid of more than one voxel] is needed; choose an earlier layer."
    )
    HEAD_NOT_POOLED = (
        "Method '{method}' is for networks whose layer '{layer}' is followed by global average"
        " pooling and a linear layer alone, and here it is not: choose another layer or gradcam."
    )
    NOT_OPEN = "A CutNetwork is used inside a with block."
    SETTINGS_FIXED = "The target layer, output, region and token grid of a CutNetwork are its own."
    # The image
    NO_CASE = "The batch holds no case."
    IMAGE_TYPE = (
        "This method perturbs the image, which must be of a floating-point type, and the input's"
        " is {found}: convert it, or choose another method."
    )
    NO_MEMORY = (
        "There is not enough memory on {device} for {work}: use fewer cases or classes at a time,"
        " or a smaller image."
    )
    NO_MEMORY_FOR_ONE = (
        "There is not enough memory for one of {count} {what} at a time: use a smaller image or a"
        " device with more memory."
    )
    STOPPED = "The explanation was stopped after {done} of {total} forward passes."
    # The class, the function and the region that are explained
    CLASS_NEEDED = (
        "A segmentation network predicts a class for every voxel: say which class to explain."
    )
    CLASS_TYPE = (
        "The class must be a number, one number per case, 'predicted' or 'all', not '{found}'."
    )
    CLASS_NUMBER = "A class is a whole number, from 0 to the number of classes - 1."
    CLASSES_PER_CASE = (
        "One class per case, or one row of classes per case, is needed: {cases} cases, and"
        " classes of shape {found}."
    )
    NO_SUCH_CLASS = "There is no class {asked}: the network has {has}."
    FUNCTIONS_PER_CASE = "One function per case is needed: {cases} cases, and {found} functions."
    FUNCTION_FAILS = (
        "The function that says what is explained fails on the output of a case: {error}:"
        " {complaint}."
    )
    FUNCTION_RESULT = (
        "A function that says what is explained must give one number, a tensor of one element,"
        " and it gave {found}."
    )
    FUNCTION_WITHOUT_GRADIENT = (
        "What the function gives has no gradient: it must be computed from the output by"
        " differentiable operations (not argmax), without detach() or no_grad()."
    )
    REGION_AND_FUNCTION = (
        "A region is for a class; a function takes the whole output: give one of the two."
    )
    REGION_TYPE = "The region must be a mask, a tensor or array, or 'predicted', not '{found}'."
    REGION_SHAPE = (
        "The region must have the spatial size of the network's output, {needed}, for all cases"
        " or each of {cases}, not the shape {found}."
    )
    REGION_EMPTY = "The region of case {case} of the batch holds no voxel."
    REGION_NOT_FINITE = "The region holds values that are not finite: give a mask."
    REGION_WITHOUT_MAP = (
        "A region is for networks that return a map of logits, and this one returns {gives} for"
        " each case: leave the region out."
    )
    CLASS_NOT_PREDICTED = (
        "The network predicts class {asked} at no voxel of case {case} of the batch: give a mask"
        " as the region, or choose another class."
    )
    NO_SUCH_TARGET = (
        "A class is compared with one of {targets}, or with the number of another class, not with"
        " '{asked}'."
    )
    NOTHING_TO_COMPARE = (
        "The network has one output, so there is no other class to compare it with: choose the"
        " target 'logit'."
    )
    # What the network returns
    SINGLE_NUMBER = "The network returns a single number, not one logit per case."
    MAP_OF_LOGITS = (
        "The network returns a map of {gives} for each case, not one logit per class: to explain"
        " a segmentation, give the region whose class is asked for, a mask or 'predicted'."
    )
    NOT_LOGITS = (
        "The network returns {found} values, not logits: explain the network without the step"
        " that turns logits into classes."
    )
    SEVERAL_OUTPUTS = (
        "The network returns several outputs: name the one with the logits, one of {outputs}."
    )
    NO_SUCH_OUTPUT = (
        "The network returns one tensor, without an entry {asked!r}: leave out the name of the"
        " output."
    )
    OUTPUT_TYPE = "The network returns {found}, not a tensor."
    ROWS_OF_LOGITS = "The network gives {found} rows of logits for {cases} cases."
    ROWS_OF_HEAD = "The part after layer '{layer}' does not take {given} cases for {cases}."
    NOT_FINITE = (
        "{found} of {values} values in {what} are not finite (NaN or infinite), in cases {cases}"
        " of the batch: check the image and its preprocessing."
    )
    INFERENCE_MODE = (
        "The network's weights were made under torch.inference_mode, which forbids gradients:"
        " load the network outside of it."
    )
    # Gradients and scores
    NO_GRADIENT = (
        "The logits have no gradient with respect to layer '{layer}': the network's answer does"
        " not depend on it, or only through a checkpointed part; choose a layer on the way to the"
        " answer, outside of such parts."
    )
    GRADIENT_FAILS = (
        "The gradient of the part after the target layer cannot be computed: {complaint}."
    )
    ZERO_GRADIENT = (
        "The gradient with respect to layer '{layer}' is exactly zero for the chosen class, in"
        " cases {cases} of the batch: the answer does not depend on this layer there, so choose"
        " another layer."
    )
    ZERO_GRADIENT_OF_NOISE = (
        "The gradient with respect to layer '{layer}' is exactly zero for the chosen class and"
        " every noisy input: the answer does not depend on this layer, so choose another."
    )
    CONSTANT_FEATURES = (
        "Every feature of layer '{layer}' is constant over its grid in cases {cases} of the batch,"
        " so that no mask can be made of any: check the image, or choose another layer."
    )
    SCORES_NOT_FINITE = (
        "{found} of {scores} masked inputs have a score that is not finite (NaN or infinite), the"
        " first of them case {case} of the batch with the mask of feature {feature}: this network"
        " does not take partly darkened images (or the type of autocast is too narrow), so choose"
        " a method by gradients."
    )
    # Masks of features
    NOT_ADDITIVE = (
        "The contributions do not add up to the logits in this network: the masked prediction"
        " needs a pass of the network."
    )
    MASK_TYPE = "A feature mask is a tensor or array of numbers, not a {found}."
    MASK_SHAPE = "Feature masks must be [masks, features], not of shape {found}."
    MASK_SIZE = (
        "A feature mask needs {needed} values, one per feature of layer '{layer}', and this one"
        " has the shape {found}."
    )
    FILL_SHAPE = (
        "What fills masked features must be [features] or of the masks' shape {needed}, not of"
        " shape {found}."
    )
