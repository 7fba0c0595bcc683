"""Which device computes, and in what precision."""

import torch

ALLOWED_DEVICES = "'auto', 'cpu', 'cuda', 'cuda:<index>', 'mps' or a torch.device of these"


def resolve_device(device):
    """Turn the parameter `device` into a device that is there.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes CUDA where there is one, else the CPU.

    Returns
    -------
    device : torch.device
        With its index, where it is a CUDA device.

    Raises
    ------
    ValueError
        If `device` names no device that is allowed, or one that this machine lacks.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device={str(device)!r} is not a device for this estimator; allowed are {ALLOWED_DEVICES}.")
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = resolved.index if resolved.index is not None else torch.cuda.current_device() if count else 0
        if not 0 <= index < count:
            raise ValueError(f"device={str(device)!r} was asked for, but torch finds {count} CUDA device(s) here.")
        return torch.device("cuda", index)
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' was asked for, but torch finds no MPS device here.")
    return torch.device(resolved.type)


def device_or_cpu(device):
    """Take the CPU where a model's device is missing.

    Parameters
    ----------
    device : torch.device
        The device that a model was fitted on, perhaps on another machine.

    Returns
    -------
    device : torch.device
        The same, or the CPU.
    """
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def new_generator(device, seed):
    """Make a source of random numbers for the engine.

    Parameters
    ----------
    device : torch.device
        Where they are wanted.
    seed : int
        The same seed gives the same numbers on the same device.

    Returns
    -------
    generator : torch.Generator
        On the device; on the CPU for MPS, which has no float64 to draw edges with.
    """
    return torch.Generator("cpu" if device.type == "mps" else device).manual_seed(seed)


def body_precision(device, gap):
    """Choose what the default network's hidden layers are multiplied in.

    Parameters
    ----------
    device : torch.device
        Where the network is trained.
    gap : float
        What `feature_gap` measured: distance between neighbours, in each feature, as a share of the data's extent.

    Returns
    -------
    precision : {torch.bfloat16, torch.float32}
        bfloat16, with its 8 binary digits, where the device multiplies it faster and it still tells neighbours apart.
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        faster = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    else:
        faster = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if faster and gap > 2**-6 else torch.float32
