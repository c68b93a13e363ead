"""What can be wrong with a network or bundle: the kinds, each with its sentence."""

from __future__ import annotations

from enum import Enum


class BundleProblem(Enum):
    """Why a bundle cannot be loaded or used."""

    # Files
    NOT_A_FOLDER = "{found}: not a folder; choose a MONAI bundle's folder."
    NO_FILE = "The bundle has no {file}; a MONAI bundle needs it."
    OUTSIDE = "The bundle's {file} leads out of its folder; copy the file into it."
    LINK_IN_A_CIRCLE = (
        "The bundle's {file} is a link that leads round in a circle; copy the file there."
    )
    # Settings
    UNREADABLE = "The bundle's {file} cannot be read as {format}; correct it."
    NO_TABLE = "The bundle's {file} holds no table of settings; correct it."
    SETTINGS_TOO_LARGE = (
        "The bundle's {file} has {megabytes:.1f} MB, and settings of up to {most:.1f} MB are"
        " read; take out what is no setting."
    )
    TOO_MANY_ENTRIES = (
        "The bundle's {file} stands for more than {most} entries, with repeated ones counted each"
        " time; take out what is no setting."
    )
    TOO_DEEP = "The bundle's {file} nests too deeply (more than {most} levels); correct it."
    CONTAINS_ITSELF = "The bundle's {file} contains itself at '*{anchor}'; correct it."
    VALUE_TOO_LONG = (
        "The bundle's {file} holds a value of {length} characters without quotes; put it into"
        " quotes."
    )
    SETTING_TWICE = (
        "The bundle's {file} gives '{entry}' twice in one table, and which of the two is meant is"
        " not known; take one of them out."
    )
    NO_ENTRY = "The bundle's configuration has no entry '{entry}', which it needs; add it."
    ENTRIES_WITHOUT_END = (
        "The bundle's configuration refers from entry to entry without an end; correct it."
    )
    ENTRIES_IN_A_CIRCLE = "The bundle's configuration refers to '{entry}' in a circle; correct it."
    LEADS_OUT = (
        "The bundle's configuration refers to '{entry}' at '{where}', which leads out of it;"
        " correct it."
    )
    # Code that the settings ask for
    UNKNOWN_COMPONENT = (
        "The bundle asks for '{name}' at '{where}', which is not a MONAI network or transform, a"
        " torch.nn module or a torchvision model that only computes; load it with trust only if"
        " you know its code."
    )
    EXPRESSION = (
        "The bundle's configuration holds a Python expression at '{where}', which is not run;"
        " replace it with a value, or load the bundle with trust."
    )
    INCLUDED = (
        "The bundle's configuration includes other text at '{where}', which is not followed;"
        " write the value there, or load the bundle with trust."
    )
    NO_SUCH_COMPONENT = (
        "The bundle asks for '{name}' at '{where}', which is neither in its folder nor installed;"
        " add its file to the bundle, or install its package."
    )
    NO_INCLUDED_FILE = (
        "The bundle's configuration includes '{file}' at '{where}', and there is no such file;"
        " add it to the bundle."
    )
    SPECIAL_MODE = (
        "The bundle's configuration calls '{name}' in a special mode at '{where}'; only plain"
        " construction is allowed without trust."
    )
    MODE = (
        "The bundle's configuration calls '{name}' at '{where}' in the mode '{mode}'; use"
        " 'default' or 'callable'."
    )
    NEEDS_PACKAGE = (
        "The bundle's {what} needs the package '{package}', which is not installed; install it."
    )
    PACKAGE_FAILS = (
        "The bundle's '{name}' needs the package {package}, which cannot be imported here:"
        " {reason}."
    )
    CANNOT_BE_BUILT = "The bundle's '{name}' at '{where}' cannot be built: {reason}."
    TOO_MANY_STEPS = (
        "The bundle's chain at '{where}' has more than {most} transforms, repeated ones counted"
        " each time; correct it."
    )
    TRUSTED_CODE_FAILS = "The trusted bundle's {what} cannot be run: {reason}."
    NETWORK_TOO_LARGE = (
        "The weights do not fit the bundle's network_def, which describes a network with"
        " {described}: the file of weights holds {tensors} tensors in {megabytes:.1f} MB; use the"
        " definition that the network was trained with."
    )
    TOO_MANY_ARGUMENTS = (
        "The bundle's '{name}' at '{where}' has more than {most} arguments, with repeated ones"
        " counted each time; correct it."
    )
    ARGUMENT_TOO_LONG = (
        "The bundle's '{name}' at '{where}' has a text of {length} characters among its"
        " arguments, and up to {most} are possible; correct it."
    )
    ARGUMENT_TOO_LARGE = (
        "The bundle's '{name}' at '{where}' has the number {number} among its arguments, and"
        " numbers up to {most} are possible; correct it."
    )
    IMAGES_TOO_LARGE = (
        "The bundle's '{name}' at '{where}' makes images of size {size}, which is more than"
        " {millions:.0f} million values; correct it."
    )
    # The network and its metadata
    NO_NETWORK = "The bundle's 'network_def' does not describe a network."
    NO_SUCH_DEVICE = "The device '{asked}' cannot be used here; choose {devices}."
    NO_SUCH_ACTIVATION = (
        "'{asked}' is no way from outputs to probabilities; choose one of {choices}."
    )
    OUTPUTS_STAND_ALONE = (
        "The outputs of this model do not compete in a softmax, so that a class is compared with"
        " no other; leave '{asked}' out, or give 'logit'."
    )
    NO_SUCH_TARGET = (
        "A class is compared with {targets}, or with one of the classes {known}, not with"
        " '{asked}'."
    )
    NO_SUCH_CLASS = "The model has no class '{asked}'; it has {known}."
    CLASS_NUMBERS = (
        "The metadata's channel_def must number the classes 0, 1, 2, … without a gap; correct"
        " configs/metadata.json."
    )
    CLASSES_AND_OUTPUTS = (
        "The network has {outputs} outputs but the metadata names {classes} classes; correct"
        " network_data_format.outputs.pred.channel_def."
    )
    INPUT_SHAPE = (
        "The metadata's network_data_format.inputs.image must give num_channels as a number and"
        " spatial_shape as a list; correct configs/metadata.json."
    )
    INPUT_DOES_NOT_FIT = (
        "The network does not run on an input of shape {shape}; correct"
        " network_data_format.inputs in configs/metadata.json."
    )
    INPUT_TOO_LARGE = (
        "The metadata describes an input of shape {shape}, which is more than {millions:.0f}"
        " million values; correct network_data_format.inputs in configs/metadata.json."
    )
    PASS_TOO_LARGE = (
        "The network needs more than {gigabytes:.0f} GB for an input of shape {shape}, which the"
        " metadata describes; correct network_data_format.inputs in configs/metadata.json, or use"
        " a machine with more memory."
    )
    OUTPUT_TYPE = "The network's output is no tensor of logits; only those are explained."
    # Weights
    NOT_PLAIN_WEIGHTS = (
        "The bundle's {file} is not a plain state dict (it may hold code or be damaged); save it"
        " with torch.save(network.state_dict(), path)."
    )
    NO_STATE_DICT = "The bundle's {file} holds no state dict; save one there."
    WEIGHTS_UNPACK = (
        "The bundle's {file} has {megabytes:.1f} MB and unpacks to {unpacked:.0f} MB;"
        " save it with torch.save(network.state_dict(), path)."
    )
    WEIGHTS_HOLD_MORE = (
        "The bundle's {file} holds far more than names and values of weights; save it with"
        " torch.save(network.state_dict(), path)."
    )
    WEIGHTS_DO_NOT_FIT = (
        "The weights in {file} do not fit the bundle's network_def; use the definition that the"
        " network was trained with."
    )
    WEIGHTS_TWICE = (
        "The weights in {file} are there twice, as '{weights}' and as 'module.{weights}', and"
        " which of them are meant is not known; save one set of them."
    )
    WEIGHTS_TYPE = (
        "The weights '{weights}' in {file} are stored as {found}, and the network computes with"
        " {needed}: they would be other numbers. Save them as {needed}."
    )
    WEIGHTS_NOT_FINITE = (
        "The weights '{weights}' in {file} are not all finite ({found} of {values} values are NaN"
        " or infinite), so that no answer can be relied on; use weights from before the training"
        " went wrong."
    )


class PreprocessingProblem(Enum):
    """Why a bundle's preprocessing cannot be reproduced, or fails on an image."""

    NO_LOADER = (
        "The bundle's preprocessing does not begin with LoadImage or LoadImaged; add it as the"
        " first transform."
    )
    SEVERAL_IMAGES = (
        "The bundle's preprocessing loads {found} images; bundles with one input image can be"
        " explained."
    )
    LOADER_ARGUMENT = (
        "The preprocessing's loader has the argument '{argument}', which is not reproduced;"
        " remove it from the bundle."
    )
    READER = "The preprocessing's reader '{reader}' is not reproduced; use one of {known}."
    READER_ARGUMENT = (
        "The preprocessing's {whose} argument '{argument}' is not reproduced; remove it from the"
        " bundle, or do what it does in a transform behind the loader."
    )
    READER_AND_IMAGE = (
        "The model's preprocessing gives its reader the argument '{argument}', with which MONAI"
        " does not open {image}; open an image of the kind that the model was made for, or remove"
        " the argument from the bundle."
    )
    READER_WITHOUT_POSITION = (
        "The preprocessing's reader 'ITKReader' is not reproduced before '{transform}' for a"
        " DICOM image without a position; use PydicomReader, or none."
    )
    CONVERTER = (
        "The preprocessing's reader argument 'converter' is not a function, so that it is not"
        " reproduced; remove it from the bundle."
    )
    CONVERTER_CHANGES_SIZE = (
        "The preprocessing's reader argument 'converter' changes the size of the picture, which"
        " is not reproduced; use a MONAI transform for that."
    )
    POSITION_LOST = (
        "The model's preprocessing loses the image's position at '{transform}'; use a MONAI"
        " transform that keeps the affine."
    )
    POSITION_UNKNOWN = (
        "Where the preprocessing's '{transform}' moves the image to is not known, so that a map"
        " would lie in the wrong place; use MONAI's transforms, which keep the affine."
    )
    LAZY = (
        "The bundle's preprocessing is lazy, so that where '{transform}' moves the image to"
        " cannot be followed; set its 'lazy' to false."
    )
    MAKES_SLICES = (
        "The model's preprocessing makes {slices} slices of {image}; choose a model for pictures."
    )
    FAILS = "The model's preprocessing fails on {image}: {reason}."
    NO_MEMORY = (
        "There is not enough memory for the model's preprocessing of {image}; use a smaller image."
    )
    TOO_LARGE = (
        "The model's preprocessing would make an image of {gigabytes:.0f} GB of this one, and"
        " {free:.0f} GB of memory are free; use a smaller image, or correct the sizes"
        " and spacings in the model's preprocessing."
    )


class NetworkProblem(Enum):
    """Why a network, or its input, cannot be explained."""

    NOT_A_NETWORK = "The network must be a torch.nn.Module, and this is of type {found}."
    TORCHSCRIPT = (
        "The network is a TorchScript program, whose layers cannot be reached: load it as a"
        " Python network with its weights."
    )
    SEVERAL_DEVICES = (
        "The network's part '{part}' is a DataParallel over {devices} devices, whose copies"
        " cannot be watched: put '{part}.module' in its place."
    )
    LAZY = (
        "The network's '{part}' gets its size with the first input (a lazy module): run the"
        " network once, or load its weights, before it is explained."
    )
    INPUT_TYPE = "The network's input must be a tensor, or a tuple or dict of tensors, not {found}."
    INPUT_SINGLE_NUMBER = (
        "The network's input is a single number, and a batch of images is needed: [batch,"
        " channels, spatial sizes]."
    )
    INPUT_SHAPE = (
        "The network takes [batch, {channels}, {dims} spatial sizes] (its first convolution is"
        " '{convolution}'), and the input has the shape {given}."
    )
    INPUT_FAILS = "The network cannot process an input of shape {given}: {complaint}."
    NO_MEMORY = (
        "There is not enough memory on {device} for one case of shape {given}: use a smaller image."
    )
    NO_SUCH_LAYER = "The network has no spatial layer '{asked}'; near ones are {near}."
    NO_GRID = (
        "No layer of the network gives features on a grid: class activation needs a network with"
        " spatial layers, such as convolutions, and an input large enough for them, or tokens"
        " whose grid is known."
    )
    LAYERS_CALLED_AGAIN = (
        "Every layer with features on a grid (such as '{layer}') is called more than once in a"
        " forward pass, so that none has one output to explain: explain the network on one of the"
        " inputs that it combines."
    )
    SINGLE_VOXEL = "The layer gives {gives}, features of a single voxel: choose an earlier layer."
    TOKEN_GRID = (
        "The grid of {tokens} tokens cannot be inferred from a patch embedding and the input's"
        " size {image}: choose the patch embedding as the layer, or give the grid of the tokens."
    )
    TOKEN_GRID_DOES_NOT_FIT = (
        "The grid {grid} does not fit a layer that gives {tokens} tokens: it needs {needed}, and"
        " a few more for the classes."
    )
