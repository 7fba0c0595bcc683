"""A map as one HTML file: plotly draws it by WebGL, and nothing is fetched from anywhere."""

import html
import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..atomic import replacing
from ..containers import as_numpy
from .axes import INK, check_n_components
from .points import point_alpha, point_size
from .thumbnails import as_bytes, sheets

PIXELS = 96 / 72  # of a browser, in a typographic point
SMALLEST = 2.5  # pixels; smaller points cannot be pointed at
FADED, ENLARGED = 0.25, 1.3
OUTLINED_ABOVE = 4.0  # pixels; around smaller points a line would hide the colour
CONFIG = {
    "scrollZoom": True,
    "displaylogo": False,
    "showSendToCloud": False,  # a button that uploads the map
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>html, body {{ height: 100%; margin: 0; overflow: hidden; }}</style>
</head>
<body>
{map}
</body>
</html>
"""


def write_page(path, Z, target, *, unseen=None, images=None, text=None):
    """Write the page.

    Parameters
    ----------
    path : str or path-like
        The file, which is written whole or not at all.
    Z : ndarray of shape (n_points, 2) or (n_points, 3), float
        Positions.
    target : Classes, Numbers or Unlabelled
        What colours them.
    unseen : ndarray of shape (n_points,), bool, or None, default=None
        Which points are highlighted.
    images : array-like of shape (n_points, height, width) or (n_points, height, width, 3), default=None
        A picture of each row.
    text : array-like of shape (n_points,), default=None
        What is said of each row.

    Raises
    ------
    ImportError
        If plotly is not installed.
    ValueError
        If points have other than two or three coordinates, or `images` or `text` is not one for each.
    """
    graph_objects, to_html = _plotly()
    check_n_components(Z.shape[1])
    if text is not None:
        text = np.asarray(as_numpy(text))
        if text.shape != (len(Z),):
            raise ValueError(f"text must hold one line for each of the {len(Z)} points; got the shape {text.shape}.")
        text = np.array([html.escape(str(line), quote=False) for line in text], dtype=object)
    script = None
    if images is not None:
        thumbnails = json.dumps(sheets(as_bytes(images, len(Z))))
        hook = files(__package__).joinpath("thumbnails.js").read_text()
        script = f"const sheets = {thumbnails};\n{hook}"
    traces = _traces(graph_objects, Z, target, unseen, text)
    figure = graph_objects.Figure(traces, _layout(Z.shape[1]))
    drawn = to_html(figure, config=CONFIG, post_script=script, full_html=False)
    page = PAGE.format(title=html.escape(Path(path).stem), map=drawn)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(page)


def _traces(graph_objects, Z, target, unseen, text):
    """Clouds of points, one for each class, those of large classes below, unseen ones on top; and their legend."""
    scatter = graph_objects.Scattergl if Z.shape[1] == 2 else graph_objects.Scatter3d
    clouds, legend, Z = [], [], Z.astype(np.float32)
    for rank, (rows, name, marker) in enumerate(target.parts()):
        shown = {"name": html.escape(name, quote=False), "legendgroup": str(rank), "mode": "markers"}
        for layer, (drawn, look) in enumerate(_layers(len(Z), rows, unseen)):
            color = marker["color"] if isinstance(marker["color"], str) else marker["color"][drawn]
            cloud = scatter(
                **dict(zip("xyz", Z[rows[drawn]].T, strict=False)),
                **shown,
                marker={**marker, **look, "color": color},
                customdata=rows[drawn].astype(np.int32),
                text=None if text is None else text[rows[drawn]],
                hovertemplate=_hovertemplate(name, color, layer, text),
                showlegend=False,
            )
            clouds.append((layer, -drawn.sum(), cloud))
        if name:  # by a point that is nowhere, as opaque as those of the map are not
            nowhere = {axis: [None] for axis in "xyz"[: Z.shape[1]]}
            legend.append(scatter(**nowhere, **shown, marker={"color": marker["color"], "size": 9}, showlegend=True))
    return [cloud for _, n_points, cloud in sorted(clouds, key=lambda cloud: cloud[:2]) if n_points] + legend


def _layers(n_points, rows, unseen):
    """Which of the rows are drawn together, and how: all alike, or the unseen ones bold and the others pale."""
    size = max(np.sqrt(point_size(n_points)) * PIXELS, SMALLEST)
    if unseen is None:
        yield np.ones(len(rows), dtype=bool), {"size": size, "opacity": point_alpha(n_points)}
    else:
        unseen = unseen[rows]
        yield ~unseen, {"size": size, "opacity": FADED}
        outline = {"width": 1.0 if size > OUTLINED_ABOVE else 0.0, "color": INK}
        scale = {} if unseen.all() else {"showscale": False}  # that of the others says it
        yield unseen, {"size": ENLARGED * size, "opacity": 1.0, "line": outline, **scale}


def _hovertemplate(name, color, layer, text):
    lines = ["<b>%{fullData.name}</b><br>"] if name else []
    lines += ["<b>%{marker.color:.4~g}</b><br>"] if not isinstance(color, str) else []
    lines += ["%{text}<br>"] if text is not None else []
    lines += ["row %{customdata}", ", unseen" if layer else "", "<extra></extra>"]
    return "".join(lines)


def _layout(n_components):
    bare = {"visible": False}
    look = {
        "template": "none",
        "hovermode": "closest",
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "legend": {"itemsizing": "constant"},
        "font": {"color": INK},
        "hoverlabel": {"bgcolor": "white", "font": {"color": INK}, "namelength": -1},
    }
    if n_components == 3:
        box = {"showticklabels": False, "title": "", "showspikes": False}
        return look | {"scene": {"xaxis": box, "yaxis": box, "zaxis": box, "aspectmode": "data"}}
    return look | {"dragmode": "pan", "xaxis": bare, "yaxis": bare | {"scaleanchor": "x"}}


def _plotly():
    try:
        import plotly.graph_objects
        import plotly.io
    except ImportError as error:
        raise ImportError("to_html needs plotly: pip install 'torch-parametric-umap[interactive]'.") from error
    return plotly.graph_objects, plotly.io.to_html
