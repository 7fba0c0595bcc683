"""Models as files: tensors and JSON in the safetensors format, no pickle, so that loading one runs no code."""

import inspect
import json
import os
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch

from .decoder import Decoder, Restore
from .encoder import Encoder, Perceptron, Standardize, as_module
from .engine import torch_settings

FORMAT = "parametric_umap"
# Raised when a file can no longer be read by the code before; files of all versions up to this one are read.
FORMAT_VERSION = 1
# In JSON, the key of an object that stands for an array.
KEPT = "array among the tensors"


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
    safetensors = _safetensors()
    with replacing(path) as temporary:
        safetensors.numpy.save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, temporary, metadata)


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
        If the file is no such file, of a later version, or holds a user's encoder and none is given.
    """
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a file of a ParametricUMAP: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of a ParametricUMAP.")
    if int(metadata["format_version"]) > FORMAT_VERSION:
        raise ValueError(f"{path} was written by version {metadata['version']}, which is later than this one.")
    parameters, fitted = json.loads(metadata["parameters"]), json.loads(metadata["fitted"])
    parameters = _of_json(parameters, tensors)
    widths, given = (fitted["n_features_in_"]["value"], tensors["embedding_"].shape[1]), {}
    for name, module, inputs_and_outputs in (("encoder", encoder, widths), ("decoder", decoder, widths[::-1])):
        if fitted.get(f"{name}_", {}).get("kind") == "module":
            if module is None:
                raise ValueError(f"{path} holds weights for a {fitted[f'{name}_']['class']}; give one as {name}.")
            parameters[name] = module
            with torch_settings(torch.device("cpu"), seed=0):
                given[f"{name}_"] = as_module(module, *inputs_and_outputs, name=name)
    for name, parameter in inspect.signature(cls).parameters.items():
        if isinstance(parameter.default, tuple) and name in parameters:  # JSON made it a list
            parameters[name] = tuple(parameters[name])
    estimator = cls(**parameters)
    state = {name: _get(name, kind, tensors, given) for name, kind in fitted.items()}
    estimator.__setstate__(vars(estimator) | state)
    return estimator.set_output(**json.loads(metadata["set_output"]))


@contextmanager
def replacing(path):
    """A temporary file beside `path` that takes its place once it is whole, and is removed if it is not.

    It has the mode of the file that it replaces, or that of a new one; where a link points, the file there is replaced.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} cannot be written: it is a folder or a device.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}.")
    temporary = path.with_name(f".{token_hex(8)}.{path.name}")
    try:
        temporary.touch(exist_ok=False)
        mode = (path if path.exists() else temporary).stat().st_mode
        temporary.chmod(mode)
        yield temporary
        temporary.chmod(mode)  # what has written it may have made it anew
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    return sp.csr_array(parts, shape=tuple(where["shape"]))


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
    architecture = {key: value for key, value in kind.items() if key not in ("kind", "n_inputs", "bounded")}
    architecture["generator"] = torch.Generator()
    if kind["kind"] == "encoder":
        module = Encoder(_blank_standardize(state, "standardize"), **architecture)
    elif kind["kind"] == "decoder":
        network = Perceptron(kind["n_inputs"], **architecture)
        module = Decoder(
            network, torch.nn.Sigmoid() if kind["bounded"] else Restore(_blank_standardize(state, "output"))
        )
    else:
        module = given
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{name.rstrip('_')} does not take the weights in the file: {error}") from error
    return module.eval()


def _blank_standardize(state, prefix):
    axes = state.get(f"{prefix}.axes")
    limit = None if f"{prefix}.limit" not in state else 1.0
    return Standardize(np.zeros(len(state[f"{prefix}.mean"])), 1.0, None if axes is None else axes.numpy(), limit)


def _safetensors():
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("save and load need safetensors: pip install 'torch-parametric-umap[save]'.") from error
    return safetensors
