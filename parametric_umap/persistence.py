"""Models as files: tensors and JSON in the safetensors format, no pickle, so that loading one runs no code."""

import json
from dataclasses import fields
from itertools import pairwise
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch

from .decoder import Decoder, Restore
from .encoder import Encoder, Perceptron, Standardize, as_module
from .engine import torch_settings
from .fitted import OPTIONAL_ATTRIBUTES, FittedMap
from .tensor_file import read_tensors, write_tensors

FORMAT = "parametric_umap"
# Raised when a file can no longer be read by the code before; files of all versions up to this one are read.
FORMAT_VERSION = 1
# In JSON, the key of an object that stands for an array.
KEPT = "array among the tensors"
# What a file may say of an estimator; and what not every one has.
ATTRIBUTES = {field.name for field in fields(FittedMap)} | {"n_features_in_", "feature_names_in_"}
OPTIONAL = {*OPTIONAL_ATTRIBUTES, "feature_names_in_"}
# What is raised while nonsense is read.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


def save(estimator, path):
    """Write a fitted estimator to a file, whole or not at all.

    Parameters
    ----------
    estimator : ParametricUMAP
        Fitted. Parameters that are neither numbers, names, arrays nor containers of these, such as functions, are not
        written, with a warning; of modules the weights are.
    path : str or path-like
        The file.
    """
    from . import __version__

    parameters, tensors, left_out = {}, {}, []
    for name, value in estimator.get_params(deep=False).items():
        arrays = {}
        try:
            parameters[name] = _as_json(value, f"parameter.{name}", arrays)
            tensors |= arrays
        except TypeError:
            if name not in ("encoder", "decoder"):  # whose weights are written
                left_out.append(name)
    if left_out:
        warn(f"{', '.join(left_out)} cannot be written to a file without code, and will be the default.", stacklevel=3)
    fitted = {}
    for name, value in vars(estimator).items():
        if name.endswith("_") and not name.startswith("_"):
            _put(name, value, fitted, tensors)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "version": __version__,
        "parameters": json.dumps(parameters),
        "set_output": json.dumps(getattr(estimator, "_sklearn_output_config", {})),
        "fitted": json.dumps(fitted),
    }
    write_tensors(path, metadata, tensors)


def load(cls, path, encoder=None, decoder=None):
    """Read an estimator from a file that `save` has written, by this version of the package or one before.

    Parameters
    ----------
    cls : type
        ParametricUMAP.
    path : str or path-like
        The file.
    encoder, decoder : torch.nn.Module, callable or None, default=None
        What to put the weights of a user's encoder or decoder in: a module, which is copied, or a function of the
        widths of its input and its output that makes one, such as its class.

    Returns
    -------
    estimator : ParametricUMAP
        Fitted, on the device that it was fitted on, or the CPU where this is missing.

    Raises
    ------
    ValueError
        If the file is no such file, is damaged, is of a later version, or holds a user's encoder and none is given.
    """
    metadata, tensors = read_tensors(path, "a file of a ParametricUMAP", FORMAT, FORMAT_VERSION)
    try:
        parameters, fitted = _parsed(metadata, tensors)
    except MALFORMED as error:
        raise ValueError(f"{path} is damaged: {error!r}.") from error
    given = {}
    widths = (fitted["n_features_in_"]["value"], tensors["embedding_"].shape[1])
    for name, module, inputs_and_outputs in (("encoder", encoder, widths), ("decoder", decoder, widths[::-1])):
        if fitted.get(f"{name}_", {}).get("kind") == "module":
            if module is None:
                raise ValueError(f"{path} holds weights for a {fitted[f'{name}_'].get('class')}; give one as {name}.")
            parameters[name] = module
            with torch_settings(torch.device("cpu"), seed=0):
                given[f"{name}_"] = as_module(module, *inputs_and_outputs, name=name)
    try:
        estimator = cls(**parameters)
        state = {name: _get(name, kind, tensors, given) for name, kind in fitted.items()}
        estimator.__setstate__(vars(estimator) | state)
        return estimator.set_output(**json.loads(metadata["set_output"]))
    except MALFORMED as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error


def _parsed(metadata, tensors):
    """The parameters and what is said of the fitted attributes; an error unless they are those of an estimator."""
    parameters = _of_json(json.loads(metadata["parameters"]), tensors)
    fitted = json.loads(metadata["fitted"])
    if isinstance(parameters.get("hidden_layer_sizes"), list):  # JSON makes lists of tuples
        parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
    if unknown := fitted.keys() - ATTRIBUTES:
        raise ValueError(f"a fitted estimator has no {sorted(unknown)}")
    if missing := ATTRIBUTES - OPTIONAL - fitted.keys():
        raise ValueError(f"a fitted estimator has {sorted(missing)}, too")
    if tensors["embedding_"].ndim != 2 or not isinstance(fitted["n_features_in_"]["value"], int):
        raise ValueError("embedding_ or n_features_in_ is malformed")
    return parameters, fitted


def _as_json(value, name, tensors):
    """A value as JSON keeps it, its arrays put among the tensors; a TypeError for anything that has code."""
    if isinstance(value, np.ndarray) or sp.issparse(value):
        return {KEPT: _put_array(name, value, tensors)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(item, f"{name}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    value = str(value) if isinstance(value, torch.device) else value
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is neither data nor a container of data.")


def _of_json(value, tensors):
    """What `_as_json` was given, but lists for tuples."""
    if isinstance(value, dict) and KEPT in value:
        return _get_array(value[KEPT], tensors)
    if isinstance(value, dict):
        return {key: _of_json(item, tensors) for key, item in value.items()}
    return [_of_json(item, tensors) for item in value] if isinstance(value, list) else value


def _put_array(name, value, tensors):
    """Put an array, or the parts of a sparse matrix, among the tensors, and say how to find it."""
    if not sp.issparse(value):
        tensors[name] = value
        return {"kind": "array", "name": name}
    value = value.tocsr()
    tensors.update({f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")})
    return {"kind": "sparse", "name": name, "shape": list(value.shape)}


def _get_array(where, tensors):
    """What `_put_array` was given; sparse matrices as csr_array."""
    name = where["name"]
    if where["kind"] == "array":
        return tensors[name]
    parts = tuple(tensors[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    matrix = sp.csr_array(parts, shape=tuple(where["shape"]))
    matrix.check_format(full_check=True)  # an index beyond the shape would read other memory
    return matrix


def _put(name, value, fitted, tensors):
    """Write down of what kind a fitted attribute is, and put its arrays beside the others."""
    if isinstance(value, torch.nn.Module):
        fitted[name] = _architecture(value)
        state = value.state_dict()
        tensors.update({f"{name}.{key}": tensor.detach().cpu().numpy() for key, tensor in state.items()})
    elif isinstance(value, torch.device):
        fitted[name] = {"kind": "device", "value": str(value)}
    elif isinstance(value, np.ndarray) and value.dtype == object:  # names of features
        fitted[name] = {"kind": "names", "value": value.tolist()}
    elif isinstance(value, np.ndarray) or sp.issparse(value):
        fitted[name] = _put_array(name, value, tensors)
    elif isinstance(value, dict):
        fitted[name] = {"kind": "arrays", "value": list(value)}
        tensors.update({f"{name}.{key}": array for key, array in value.items()})
    else:
        fitted[name] = {"kind": "plain", "value": value}


def _get(name, kind, tensors, given):
    """Make of a fitted attribute what it was."""
    match kind["kind"]:
        case "encoder" | "decoder" | "module":
            prefix = f"{name}."
            state = {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}
            return _module(
                name, kind, {key: torch.from_numpy(np.array(x)) for key, x in state.items()}, given.get(name)
            )
        case "array" | "sparse":
            return _get_array(kind, tensors)
        case "device":
            return torch.device(kind["value"])
        case "names":
            return np.array(kind["value"], dtype=object)
        case "arrays":
            return {key: tensors[f"{name}.{key}"] for key in kind["value"]}
    return kind["value"]


def _architecture(module):
    """What a module is built from, but for its weights."""
    if isinstance(module, Encoder):
        return {"kind": "encoder", **module.network.architecture()}
    if isinstance(module, Decoder):
        n_inputs = (module.network.body[0] if len(module.network.body) else module.network.head).in_features
        bounded = isinstance(module.output, torch.nn.Sigmoid)
        return {"kind": "decoder", "n_inputs": n_inputs, "bounded": bounded, **module.network.architecture()}
    return {"kind": "module", "class": type(module).__qualname__}


def _module(name, kind, state, given):
    """The module with its weights."""
    if kind["kind"] == "encoder":
        standardize = _blank_standardize(state, "standardize")
        module = Encoder(standardize, **_checked_architecture(kind, standardize.width, state))
    elif kind["kind"] == "decoder":
        output = torch.nn.Sigmoid() if kind["bounded"] else Restore(_blank_standardize(state, "output"))
        n_inputs = kind["n_inputs"]
        module = Decoder(Perceptron(n_inputs, **_checked_architecture(kind, n_inputs, state)), output)
    else:
        module = given
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{name.rstrip('_')} does not take the weights in the file: {error}") from error
    return module.eval()


def _checked_architecture(kind, n_inputs, state):
    """What a network is built from; an error, before any memory is taken, if that is more than the weights fill."""
    architecture = {key: value for key, value in kind.items() if key not in ("kind", "n_inputs", "bounded")}
    n_waves = architecture.get("n_waves", 0)
    widths = [n_inputs + 2 * n_waves, *architecture["hidden_layer_sizes"], architecture["n_components"]]
    if not all(type(width) is int and width > 0 for width in [n_waves + 1, *widths]):
        raise ValueError(f"the widths of its layers are {widths}")
    n_weights = sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))
    if n_weights > sum(tensor.numel() for tensor in state.values()):
        raise ValueError(f"there are fewer weights than layers of widths {widths} have")
    return architecture | {"generator": torch.Generator()}


def _blank_standardize(state, prefix):
    axes = state.get(f"{prefix}.axes")
    limit = None if f"{prefix}.limit" not in state else 1.0
    return Standardize(np.zeros(len(state[f"{prefix}.mean"])), 1.0, None if axes is None else axes.numpy(), limit)
