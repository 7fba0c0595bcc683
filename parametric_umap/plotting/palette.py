"""Colours of classes that the eye tells apart."""

import numpy as np

UNKNOWN = (0.8, 0.8, 0.8, 1.0)
# Of a generated colour, in Oklab: seen on white paper and not black, neither grey nor glaring.
LIGHTNESS, CHROMA = (0.45, 0.8), (0.08, 0.22)


def palette(n_colors):
    """Choose the colours of classes.

    Parameters
    ----------
    n_colors : int
        Number of classes.

    Returns
    -------
    colors : ndarray of shape (n_colors, 4), float64
        Red, green, blue and opacity, from 0 to 1: those of matplotlib's "tab10", and then others, each as different as
        can be from all before.
    """
    import matplotlib

    rgb = different_colors(n_colors, first=np.array(matplotlib.colormaps["tab10"].colors))
    return np.column_stack([rgb, np.ones(n_colors)])


def different_colors(n_colors, first):
    """Go on with colours, each as different as can be from all before it.

    Parameters
    ----------
    n_colors : int
        Number of colours in the end.
    first : ndarray of shape (n_first, 3), float64
        The colours to begin with, red, green and blue from 0 to 1.

    Returns
    -------
    colors : ndarray of shape (n_colors, 3), float64
        Red, green and blue.
    """
    levels = np.linspace(0, 1, 20)
    candidates = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lab = oklab(candidates)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    within = [(values > low) & (values < high) for values, (low, high) in ((lightness, LIGHTNESS), (chroma, CHROMA))]
    candidates = candidates[np.logical_and(*within)]
    lab, colors = oklab(candidates), list(first[:n_colors])
    difference = np.linalg.norm(lab[:, None] - oklab(first), axis=2).min(axis=1)
    while len(colors) < n_colors:
        most = difference.argmax()
        colors.append(candidates[most])
        difference = np.minimum(difference, np.linalg.norm(lab - lab[most], axis=1))
    return np.reshape(colors, (n_colors, 3))


def oklab(rgb):
    """Put colours where distances are as the eye sees differences.

    Parameters
    ----------
    rgb : ndarray of shape (n_colors, 3), float64
        Red, green and blue of the sRGB standard, from 0 to 1.

    Returns
    -------
    lab : ndarray of shape (n_colors, 3), float64
        Lightness, green to red, blue to yellow.

    References
    ----------
    Ottosson 2020, A perceptual color space for image processing.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = linear @ [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ]
    return np.cbrt(cones) @ [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ]
