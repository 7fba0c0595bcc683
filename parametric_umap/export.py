"""Models for other runtimes: ONNX."""

import copy

import torch

from .persistence import replacing


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
    program = torch.onnx.export(
        module,
        (torch.zeros(2, n_inputs),),
        input_names=[names[0]],
        output_names=[names[1]],
        dynamic_shapes=({0: torch.export.Dim("n_rows")},),
        dynamo=True,
        verbose=False,
    )
    with replacing(path) as temporary:
        program.save(temporary)
