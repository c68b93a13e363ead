"""What can be wrong with a network or bundle, for code; the sentences lie where they are raised."""

from __future__ import annotations

from enum import Enum


class BundleProblem(Enum):
    """Why a bundle cannot be loaded or used."""

    # Files
    NOT_A_FOLDER = "not a folder"
    NO_FILE = "a file is missing"
    OUTSIDE = "a file outside of the folder"
    LINK_IN_A_CIRCLE = "a link that leads in a circle"
    # Settings
    UNREADABLE = "a settings file that cannot be read"
    NO_TABLE = "a settings file without a table"
    SETTINGS_TOO_LARGE = "a settings file that is too large"
    TOO_MANY_ENTRIES = "too many entries"
    TOO_DEEP = "entries nested too deeply"
    CONTAINS_ITSELF = "an entry that contains itself"
    VALUE_TOO_LONG = "a long value without quotes"
    SETTING_TWICE = "a setting given twice"
    NO_ENTRY = "an entry is missing"
    ENTRIES_IN_A_CIRCLE = "entries that refer to each other in a circle"
    LEADS_OUT = "an entry that leads out of the settings"
    # Code that the settings ask for
    UNKNOWN_COMPONENT = "code that is not on the list"
    EXPRESSION = "a Python expression"
    INCLUDED = "other text that is included"
    MODE = "a call in a special mode"
    NEEDS_PACKAGE = "a package that is not installed"
    PACKAGE_FAILS = "a package that cannot be imported"
    CANNOT_BE_BUILT = "a component that cannot be built"
    TOO_MANY_STEPS = "too many transforms"
    TRUSTED_CODE_FAILS = "the bundle's own code fails"
    NETWORK_TOO_LARGE = "a network that is larger than its weights"
    TOO_MANY_ARGUMENTS = "too many arguments"
    ARGUMENT_TOO_LONG = "a very long text among the arguments"
    ARGUMENT_TOO_LARGE = "a very large number among the arguments"
    IMAGES_TOO_LARGE = "a transform that makes very large images"
    # The network and its metadata
    NO_NETWORK = "no network"
    NO_SUCH_DEVICE = "no such device"
    NO_SUCH_ACTIVATION = "no such activation"
    NO_SUCH_CLASS = "no such class"
    CLASS_NUMBERS = "classes are not numbered without a gap"
    CLASSES_AND_OUTPUTS = "more or fewer classes than outputs"
    INPUT_SHAPE = "the shape of the input is not given"
    INPUT_DOES_NOT_FIT = "the network does not run on its input"
    INPUT_TOO_LARGE = "the input is too large"
    PASS_TOO_LARGE = "a forward pass that needs too much memory"
    OUTPUT_TYPE = "the network returns no tensor"
    # Weights
    NOT_PLAIN_WEIGHTS = "weights that may hold code"
    NO_STATE_DICT = "no state dict"
    WEIGHTS_UNPACK = "weights that unpack to far more"
    WEIGHTS_HOLD_MORE = "more than weights"
    WEIGHTS_DO_NOT_FIT = "weights of another network"
    WEIGHTS_TWICE = "weights given twice"
    WEIGHTS_TYPE = "weights of another type"
    WEIGHTS_NOT_FINITE = "weights that are not finite"


class PreprocessingProblem(Enum):
    """Why a bundle's preprocessing cannot be reproduced, or fails on an image."""

    NO_LOADER = "does not begin with a loader"
    SEVERAL_IMAGES = "loads several images"
    LOADER_ARGUMENT = "an argument of the loader"
    READER = "a reader that is not reproduced"
    READER_ARGUMENT = "an argument of the reader"
    READER_AND_IMAGE = "an argument of the reader that does not fit the image"
    READER_WITHOUT_POSITION = "a reader that makes up a position"
    CONVERTER = "a converter that is not a function"
    CONVERTER_CHANGES_SIZE = "a converter that changes the size"
    POSITION_LOST = "the position is lost"
    POSITION_UNKNOWN = "the position cannot be followed"
    LAZY = "lazy transforms"
    MAKES_SLICES = "slices made of a picture"
    FAILS = "fails on the image"
    NO_MEMORY = "not enough memory"
    TOO_LARGE = "would make an image too large for the memory"


class NetworkProblem(Enum):
    """Why a network, or its input, cannot be explained."""

    NOT_A_NETWORK = "not a network"
    TORCHSCRIPT = "a TorchScript program"
    SEVERAL_DEVICES = "a part on several devices"
    LAZY = "a lazy module"
    INPUT_TYPE = "the input is no tensor"
    INPUT_SINGLE_NUMBER = "the input is a single number"
    INPUT_SHAPE = "the input does not fit the first convolution"
    INPUT_FAILS = "the network cannot process the input"
    NO_MEMORY = "not enough memory"
    NO_SUCH_LAYER = "no such layer"
    NO_GRID = "no layer with a grid"
    LAYERS_CALLED_AGAIN = "every layer is called more than once"
    SINGLE_VOXEL = "features of a single voxel"
    TOKEN_GRID = "the grid of tokens cannot be inferred"
    TOKEN_GRID_DOES_NOT_FIT = "a grid that does not fit the tokens"
