"""Models for other runtimes: ONNX."""

import copy
import logging
import warnings
from contextlib import contextmanager

import torch

from .atomic import replacing


def to_onnx(module, n_inputs, path, names):
    """Write a network as an ONNX model that takes any number of rows.

    Parameters
    ----------
    module : torch.nn.Module
        An encoder or a decoder.
    n_inputs : int
        Width of its input.
    path : str or path-like
        The file; it is written whole or not at all.
    names : tuple of (str, str)
        What its input and its output are called; both are float32.

    Raises
    ------
    ImportError
        If onnx and onnxscript are not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("to_onnx needs onnx and onnxscript: pip install 'torch-parametric-umap[onnx]'.") from error
    module = copy.deepcopy(module).cpu().eval()
    with replacing(path) as temporary, _quiet_exporter():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, n_inputs),),
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_shapes=({0: torch.export.Dim("n_rows")},),
            dynamo=True,
            verbose=False,
        )
        program.save(temporary)


@contextmanager
def _quiet_exporter():
    """Keep what torch's exporter says of other packages, and of its own future, from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
