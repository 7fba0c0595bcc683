"""A map as one HTML file: plotly draws it by WebGL, and nothing is fetched from anywhere."""

import html
import json
from importlib.resources import files

import numpy as np

from ..persistence import replacing
from .axes import INK
from .points import point_alpha, point_size
from .thumbnails import as_bytes, sheets

PIXELS = 96 / 72  # of a browser, in a typographic point
SMALLEST = 2.5  # pixels; smaller points cannot be pointed at
FADED, ENLARGED = 0.25, 1.3


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
        If `images` or `text` is not one for each point.
    """
    graph_objects, to_html = _plotly()
    if text is not None:
        text = np.array([html.escape(str(line), quote=False) for line in np.asarray(text)], dtype=object)
        if len(text) != len(Z):
            raise ValueError(f"text must hold one line for each of the {len(Z)} points; got {len(text)}.")
    script = None
    if images is not None:
        thumbnails = json.dumps(sheets(as_bytes(images, len(Z))))
        hook = files(__package__).joinpath("thumbnails.js").read_text()
        script = f"const sheets = {thumbnails};\n{hook}"
    figure = graph_objects.Figure(_traces(graph_objects, Z, target, unseen, text), _layout(Z.shape[1]))
    page = to_html(figure, config={"scrollZoom": True, "displaylogo": False}, post_script=script)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(page)


def _traces(graph_objects, Z, target, unseen, text):
    """One cloud of points for each class, large classes below small ones; where some are unseen, two."""
    scatter = graph_objects.Scattergl if Z.shape[1] == 2 else graph_objects.Scatter3d
    size = max(np.sqrt(point_size(len(Z))) * PIXELS, SMALLEST)
    looks = [(np.ones(len(Z), dtype=bool), {"size": size, "opacity": point_alpha(len(Z))}, "")]
    if unseen is not None:
        faded = {"size": size, "opacity": FADED}
        bold = {"size": ENLARGED * size, "opacity": 1.0, "line": {"width": 1, "color": INK}}
        looks = [(~unseen, faded, ""), (unseen, bold, "unseen<br>")]
    traces, Z = [], Z.astype(np.float32)
    for rank, (rows, name, marker) in enumerate(target.parts()):
        for among, look, note in looks:
            drawn = among[rows]
            color = marker["color"] if isinstance(marker["color"], str) else marker["color"][drawn]
            trace = scatter(
                **dict(zip("xyz", Z[rows[drawn]].T, strict=False)),
                mode="markers",
                name=html.escape(name, quote=False),
                marker={**marker, **look, "color": color},
                customdata=rows[drawn].astype(np.int32),
                text=None if text is None else text[rows[drawn]],
                hovertemplate=_hovertemplate(name, color, note, text),
                legendgroup=str(rank),
                legendrank=rank,
                showlegend=bool(name) and not any(other.legendrank == rank for other in traces),
            )
            if drawn.any():
                traces.append(trace)
    return sorted(traces, key=lambda trace: (trace.marker.line.width is not None, -len(trace.x)))


def _hovertemplate(name, color, note, text):
    lines = ["<b>%{fullData.name}</b><br>"] if name else []
    lines += ["<b>%{marker.color:.4~g}</b><br>"] if not isinstance(color, str) else []
    lines += ["%{text}<br>"] if text is not None else []
    return "".join([*lines, note, "row %{customdata}<extra></extra>"])


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
