"""Pictures of rows, many on one sheet, so that a page with thousands of them stays small and quick."""

import base64
import io

import numpy as np

from ..containers import as_numpy

LARGEST = 64  # pixels, in height and width
PER_SIDE = 32  # a sheet is decoded as a whole when one of its pictures is first shown


def as_bytes(images, n_points):
    """Check the pictures of rows.

    Parameters
    ----------
    images : array-like of shape (n_points, height, width) or (n_points, height, width, 3)
        Numbers.
    n_points : int
        Number of rows.

    Returns
    -------
    images : ndarray of the same shape, uint8
        The same if they are uint8; else from 0 at the least number to 255 at the largest.

    Raises
    ------
    ValueError
        If they are of another shape, or not finite.
    """
    images = np.asarray(as_numpy(images))
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or len(images) != n_points or not images.size:
        raise ValueError(
            f"images must have the shape ({n_points}, height, width) or ({n_points}, height, width, 3); "
            f"got {images.shape}."
        )
    if images.dtype == np.uint8:
        return images
    least, largest = float(images.min()), float(images.max())
    if not (np.isfinite(least) and np.isfinite(largest)):
        raise ValueError("images must be finite; they hold NaN or infinity.")
    span = (largest / 2 - least / 2) or 1.0  # of halves, whose difference is finite, too
    halves = (np.asarray(image, dtype=np.float64) / 2 for image in images)  # one by one: all would take much memory
    return np.stack([((half - least / 2) / span * 255).round().astype(np.uint8) for half in halves])


def sheets(images):
    """Lay pictures on sheets, row by row.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3), uint8
        The pictures.

    Returns
    -------
    sheets : dict
        `sources`, the sheets as data URIs of WebP files; `per_side`, how many pictures lie along each side of one;
        `height` and `width` of a picture in pixels.
    """
    images = _reduced(images)
    height, width = images.shape[1:3]
    per_sheet = PER_SIDE**2
    sources = [_sheet(images[start : start + per_sheet]) for start in range(0, len(images), per_sheet)]
    return {"sources": sources, "per_side": PER_SIDE, "height": height, "width": width}


def _reduced(images):
    """Pictures of at most `LARGEST` pixels."""
    from PIL import Image

    height, width = images.shape[1:3]
    if max(height, width) <= LARGEST:
        return images
    scale = LARGEST / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def _sheet(images):
    from PIL import Image

    n_lines = -(-len(images) // PER_SIDE)
    height, width, *channels = images.shape[1:]
    sheet = np.zeros((n_lines * PER_SIDE, height, width, *channels), dtype=np.uint8)
    sheet[: len(images)] = images
    sheet = sheet.reshape(n_lines, PER_SIDE, height, width, *channels).swapaxes(1, 2)
    sheet = sheet.reshape(n_lines * height, PER_SIDE * width, *channels)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, format="WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
