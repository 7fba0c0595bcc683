"""Pictures: what is drawn, in which colours, and what a browser shows of the page."""

import doctest
import json
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgba

from parametric_umap import DiagnosticDisplay, EmbeddingDisplay, LossCurveDisplay, ParametricUMAP
from parametric_umap.containers import as_numpy
from parametric_umap.output_metrics import as_drawn
from parametric_umap.plotting import diagnostic, embedding, loss_curve
from parametric_umap.plotting.palette import UNKNOWN, oklab, palette
from parametric_umap.plotting.points import point_alpha, point_size
from parametric_umap.plotting.thumbnails import as_bytes


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


SHORT = {"init_epochs": 1, "n_epochs": 2, "batches_per_epoch": 4, "random_state": 0}


@pytest.fixture(scope="module")
def umap(iris):
    return ParametricUMAP(**SHORT).fit(iris[0])


def points(n, n_components=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_components)).astype(np.float32)


def entries(legend):
    return [text.get_text() for text in legend.get_texts()]


def positions(scatter):
    return np.asarray(scatter.get_offsets())


def row_colors(display, Z):
    """The colour of every row, without its opacity, found by its position."""
    drawn, colors = positions(display.points_), display.points_.get_facecolors()
    nearest = pairwise_distances(Z, drawn).argmin(axis=1)
    np.testing.assert_array_equal(drawn[nearest], Z)
    return colors[nearest][:, :3]


# What colours points


@pytest.mark.parametrize(
    "y",
    [
        np.array(["b", "a", "c", "a"] * 10),
        np.array([2, 1, 3, 1] * 10),
        np.array([2.0, 1, 3, 1] * 10),
        np.array([10, 9, 11, 9] * 10, dtype=object),
        pd.Series(["b", "a", "c", "a"] * 10, dtype="category"),
        [True, False, True, False] * 10,
        torch.tensor([2, 1, 3, 1] * 10),
        torch.tensor([2.0, 1, 3, 1] * 10, requires_grad=True),
        torch.tensor([2.0, 1, 3, 1] * 10, dtype=torch.bfloat16),
    ],
)
def test_classes_have_a_color_each_and_a_sorted_legend(y):
    Z = points(40)
    display = EmbeddingDisplay.from_embedding(Z, y)
    classes, codes = np.unique(as_numpy(y), return_inverse=True)
    assert entries(display.legend_) == [f"{c:g}" if isinstance(c, float) else str(c) for c in classes.tolist()]
    handles = [handle.get_color() for handle in display.legend_.legend_handles]
    np.testing.assert_allclose(row_colors(display, Z), np.array(handles)[codes][:, :3])
    assert display.colorbar_ is None
    assert display.labels_ == []


def test_unknown_labels_are_grey_and_last_in_the_legend():
    Z = points(6)
    for y in ([0, 1, -1] * 2, np.array([0, 1, np.nan] * 2), np.array(["x", "y", None] * 2, dtype=object)):
        display = EmbeddingDisplay.from_embedding(Z, y)
        assert entries(display.legend_)[-1] == "unknown"
        colors = row_colors(display, Z)
        np.testing.assert_allclose(colors[[2, 5]], [UNKNOWN[:3]] * 2)
        assert not np.isclose(colors[[0, 1]], UNKNOWN[:3]).all(axis=1).any()


@pytest.mark.parametrize("dtype", ["boolean", "bool[pyarrow]", object])
@pytest.mark.parametrize("container", [pd.array, pd.Series])
def test_booleans_of_pandas_are_classes_some_of_them_unknown(dtype, container):
    display = EmbeddingDisplay.from_embedding(points(3), container([True, False, None], dtype=dtype))
    assert entries(display.legend_) == ["False", "True", "unknown"]


@pytest.mark.parametrize("y", [points(300)[:, 0] * 3, np.arange(300), np.arange(300)[::-1] / 2])
def test_numbers_get_a_color_bar_over_their_range(y):
    Z = points(300)
    display = EmbeddingDisplay.from_embedding(Z, y)
    assert display.legend_ is None
    assert display.colorbar_.vmin == y.min()
    assert display.colorbar_.vmax == y.max()
    share = (y - y.min()) / (y.max() - y.min())
    np.testing.assert_allclose(row_colors(display, Z), matplotlib.colormaps["viridis"](share)[:, :3], atol=0.01)


def test_unknown_numbers_are_grey():
    Z, y = points(200), points(200)[:, 1].astype(float)
    y[:7] = np.nan
    display = EmbeddingDisplay.from_embedding(Z, y)
    grey = np.isclose(row_colors(display, Z), UNKNOWN[:3]).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(grey), np.arange(7))
    assert display.colorbar_.vmin == np.nanmin(y)


@pytest.mark.parametrize("y", [np.full(6, np.nan), np.full(6, -1), np.full(6, None)])
def test_where_all_targets_are_unknown_all_points_are_grey(y):
    Z = points(6)
    display = EmbeddingDisplay.from_embedding(Z, y)
    np.testing.assert_allclose(row_colors(display, Z), [UNKNOWN[:3]] * 6)
    assert entries(display.legend_) == ["unknown"]


@pytest.mark.parametrize("Z", [np.ones((1, 2)), np.ones((4, 2)), np.ones((4, 3))])
def test_points_in_one_place_are_drawn(Z):
    display = EmbeddingDisplay.from_embedding(Z)
    display.figure_.canvas.draw()
    low, high = display.ax_.get_xlim()
    assert low < 1 < high


def test_without_targets_there_is_one_color_and_no_key():
    display = EmbeddingDisplay.from_embedding(points(50))
    assert len(np.unique(display.points_.get_facecolors(), axis=0)) == 1
    assert display.legend_ is None
    assert display.colorbar_ is None


def test_many_classes_are_marked_on_the_map_by_the_numbers_of_their_legend():
    rng = np.random.default_rng(0)
    names = np.array([f"the class with the long name {number:02d}" for number in range(50)])
    codes = np.r_[np.arange(50), rng.integers(50, size=950)]
    centres = rng.uniform(-50, 50, size=(50, 2))
    Z = centres[codes] + 0.1 * rng.normal(size=(1000, 2))
    display = EmbeddingDisplay.from_embedding(Z, names[codes])
    assert [label.get_text() for label in display.labels_] == [str(number) for number in range(1, 51)]
    marks = np.array([label.get_position() for label in display.labels_])
    np.testing.assert_allclose(marks, centres, atol=0.5)
    assert entries(display.legend_) == [f"{number}  {name}" for number, name in enumerate(names, 1)]
    assert len(np.unique(row_colors(display, Z.astype(np.float64)), axis=0)) == 50


def test_short_names_are_marks_themselves():
    y = np.arange(240) % 12
    display = EmbeddingDisplay.from_embedding(points(240), y)
    assert [label.get_text() for label in display.labels_] == entries(display.legend_) == [str(c) for c in range(12)]


def test_more_text_labels_than_a_legend_lists_have_none():
    display = EmbeddingDisplay.from_embedding(points(303), [f"name {row % 101}" for row in range(303)])
    assert display.legend_ is None
    assert display.labels_ == []


def test_long_names_are_told_apart_in_the_legend():
    """By their beginning or their end: what is cut is their middle."""
    names = ["x" * 199 + "a", "x" * 199 + "b", "y" * 48, "y" * 49]
    shown = entries(EmbeddingDisplay.from_embedding(points(4), names).legend_)
    middle = "x" * 24 + "…" + "x" * 22
    assert shown == [middle + "a", middle + "b", "y" * 48, "y" * 24 + "…" + "y" * 23]


@pytest.mark.parametrize("n_classes", [3, 12])
@pytest.mark.parametrize("name", ["$x^2$", "a$\\b$", "$", "a_b"])
def test_names_are_shown_as_they_are(name, n_classes):
    """No dollar makes mathematics of them, neither in the legend nor as a mark."""
    names = np.array([name] + [f"b{number:02d}" for number in range(1, n_classes)])
    display = EmbeddingDisplay.from_embedding(points(60), names[np.arange(60) % n_classes])
    display.figure_.canvas.draw()
    texts = [*display.legend_.get_texts(), *display.labels_]
    assert not any(text.get_parse_math() for text in texts)
    shown = [text.get_text() for text in display.legend_.get_texts()]
    assert sum(entry.endswith(name) for entry in shown) == 1


@pytest.mark.parametrize("n_classes", [2, 10, 50])
def test_the_figure_holds_the_whole_legend_beside_the_map(n_classes):
    y = np.array([f"a rather long name of class {number}" for number in range(n_classes)])
    display = EmbeddingDisplay.from_embedding(points(20 * n_classes), np.repeat(y, 20))
    display.figure_.canvas.draw()
    legend, figure = display.legend_.get_window_extent(), display.figure_.bbox
    assert legend.x0 > display.ax_.get_window_extent().x1
    assert legend.x1 <= figure.x1
    assert figure.y0 <= legend.y0 < legend.y1 <= figure.y1


def test_colors_are_told_apart():
    """The nearest two of fifty differ more than those of matplotlib's palettes of so many."""

    def least_difference(colors):
        distances = pairwise_distances(oklab(np.asarray(colors)[:, :3]))
        return distances[np.triu_indices(len(colors), 1)].min()

    np.testing.assert_array_equal(palette(10), matplotlib.colormaps["tab10"](np.arange(10)))
    np.testing.assert_array_equal(palette(50)[:20], palette(20))
    for name in ("hsv", "gist_rainbow", "nipy_spectral"):
        assert least_difference(palette(50)) > 1.5 * least_difference(matplotlib.colormaps[name](np.linspace(0, 1, 50)))
    assert least_difference(np.vstack([palette(100), UNKNOWN])) > 0.02


def test_oklab_of_white_and_red():
    """Figures of the definition's author: white is (1, 0, 0), red (0.628, 0.225, 0.126)."""
    lab = oklab(np.array([[1.0, 1, 1], [1, 0, 0]]))
    np.testing.assert_allclose(lab, [[1, 0, 0], [0.628, 0.225, 0.126]], atol=5e-4)


# How points are drawn


def test_more_points_are_smaller_and_fainter_but_cover_more():
    n = np.array([10, 200, 2_000, 20_000, 200_000])
    sizes, alphas = ([f(count) for count in n] for f in (point_size, point_alpha))
    assert sizes[0] == sizes[1]
    assert (np.diff(sizes[1:]) < 0).all()
    assert (np.diff(alphas[1:]) < 0).all()
    assert (np.diff(n * sizes) > 0).all()
    assert sizes[1] > 20
    assert 0.3 < sizes[-1] < 1


@pytest.mark.parametrize(("n", "rasterized"), [(200, False), (5_000, False), (20_000, True)])
def test_many_points_are_pixels(n, rasterized, tmp_path):
    display = EmbeddingDisplay.from_embedding(points(n), np.arange(n) % 3)
    assert display.points_.get_rasterized() == rasterized
    assert display.points_.get_sizes()[0] == pytest.approx(point_size(n, 6 * 72), rel=0.01)
    assert display.points_.get_alpha() == point_alpha(n)
    display.figure_.savefig(tmp_path / "map.svg")
    assert ("<image" in (tmp_path / "map.svg").read_text()) == rasterized


def test_points_are_smaller_on_smaller_axes():
    _, (small, _) = plt.subplots(1, 2, figsize=(6, 3))
    display = EmbeddingDisplay.from_embedding(points(500), ax=small)
    assert display.points_.get_sizes()[0] < 0.5 * point_size(500)
    assert display.ax_ is small
    assert display.figure_ is small.figure


def test_no_class_lies_on_top():
    """Of two classes at the same places, each is drawn last at about half of them."""
    Z = np.repeat(points(1000), 2, axis=0)
    display = EmbeddingDisplay.from_embedding(Z, np.tile([0, 1], 1000))
    last = {
        tuple(place): tuple(color)
        for place, color in zip(positions(display.points_), display.points_.get_facecolors(), strict=True)
    }
    counts = np.unique(list(last.values()), axis=0, return_counts=True)[1]
    assert counts.min() > 400


def test_all_points_are_within_equal_axes():
    Z = points(100) * [10, 1]
    ax = EmbeddingDisplay.from_embedding(Z).ax_
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert right - left == pytest.approx(top - bottom)
    assert left < Z[:, 0].min() < Z[:, 0].max() < right
    assert ax.get_aspect() == 1
    assert len(ax.get_xticks()) == 0


def test_three_coordinates_are_drawn_in_space():
    Z = points(60, 3)
    display = EmbeddingDisplay.from_embedding(Z, np.arange(60) % 12)
    assert display.ax_.name == "3d"
    drawn = np.stack(display.points_._offsets3d, axis=1)
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], Z[np.lexsort(Z.T)])
    assert len(display.labels_) == 12
    ax = plt.figure().add_subplot(projection="3d")
    assert EmbeddingDisplay.from_embedding(Z, Z[:, 0], ax=ax).ax_ is ax


def test_unseen_rows_stand_out():
    Z, unseen = points(300), np.arange(300) < 30
    display = EmbeddingDisplay.from_embedding(Z, np.arange(300) % 2, unseen=unseen)
    seen_points, unseen_points = display.points_, display.unseen_points_
    np.testing.assert_array_equal(np.sort(positions(unseen_points), axis=0), np.sort(Z[:30], axis=0))
    assert len(positions(seen_points)) == 270
    assert unseen_points.get_alpha() > 3 * seen_points.get_alpha()
    assert unseen_points.get_sizes()[0] > seen_points.get_sizes()[0]
    assert len(unseen_points.get_edgecolors()) > 0
    (explained,) = [child for child in display.ax_.artists if isinstance(child, matplotlib.legend.Legend)]
    assert entries(explained) == ["seen", "unseen"]
    seen_key, unseen_key = explained.legend_handles
    assert seen_key.get_markeredgewidth() == 0 < unseen_key.get_markeredgewidth()
    np.testing.assert_allclose(to_rgba(unseen_key.get_markeredgecolor()), unseen_points.get_edgecolors()[0])
    assert to_rgba(unseen_key.get_markerfacecolor()) != to_rgba(unseen_key.get_markeredgecolor())
    assert entries(display.legend_) == ["0", "1"]
    display.figure_.canvas.draw()
    assert explained.get_window_extent().y0 >= 0


def test_the_key_of_unseen_rows_has_no_outline_where_they_have_none():
    display = EmbeddingDisplay.from_embedding(points(20_000), unseen=np.arange(20_000) < 30)
    (explained,) = [child for child in display.ax_.artists if isinstance(child, matplotlib.legend.Legend)]
    assert len(display.unseen_points_.get_edgecolors()) == 0
    assert [key.get_markeredgewidth() for key in explained.legend_handles] == [0, 0]


MASK = [True, False, True, False, False]


@pytest.mark.parametrize(
    "unseen",
    [MASK, np.array(MASK, dtype=object), pd.array(MASK, dtype="boolean"), pd.Series(MASK), torch.tensor(MASK)],
    ids=lambda unseen: type(unseen).__name__,
)
def test_unseen_rows_may_be_told_in_any_container(unseen, tmp_path):
    Z = points(5)
    display = EmbeddingDisplay(Z, unseen=unseen)
    for drawn in (display.plot(), EmbeddingDisplay.from_embedding(Z, unseen=unseen)):
        np.testing.assert_array_equal(np.sort(positions(drawn.unseen_points_), axis=0), np.sort(Z[MASK], axis=0))
    display.to_html(tmp_path / "map.html")
    EmbeddingDisplay(Z, unseen=np.array(MASK)).to_html(tmp_path / "plain.html")
    page, plain = ((tmp_path / name).read_text().rpartition("newPlot")[2] for name in ("map.html", "plain.html"))
    assert page.partition(",")[2] == plain.partition(",")[2]  # all but the id of the plot


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_positions_may_be_a_tensor_with_a_gradient(dtype):
    Z = torch.from_numpy(points(5)).to(dtype).requires_grad_()
    drawn = positions(EmbeddingDisplay.from_embedding(Z).points_)
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(Z.detach().double(), axis=0))


def test_the_rows_of_an_estimator_are_drawn_where_it_puts_them(umap, iris):
    X, y = iris
    display = EmbeddingDisplay.from_estimator(umap, X[:40], y[:40])
    drawn, Z = positions(display.points_), umap.transform(X[:40])
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], Z[np.lexsort(Z.T)])
    frame = EmbeddingDisplay.from_estimator(PCA(2).set_output(transform="pandas").fit(X), X, y)
    assert len(positions(frame.points_)) == 150


def test_spheres_and_the_hyperbolic_plane():
    """The pole is the pole; a point at hyperbolic distance d of the origin lies at tanh(d / 2) in Poincaré's disk."""
    angles = np.array([[0.0, 1.2], [np.pi / 2, 0], [np.pi / 2, np.pi / 2]])
    np.testing.assert_allclose(as_drawn(angles, "haversine"), [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)
    distance = np.array([0.1, 1.0, 3.0])
    disk = as_drawn(np.stack([np.sinh(distance), np.zeros(3)], axis=1), "hyperboloid")
    np.testing.assert_allclose(disk[:, 0], np.tanh(distance / 2))


@pytest.mark.parametrize("output_metric", ["haversine", "hyperboloid"])
def test_a_map_in_a_pipeline_or_a_search_is_drawn_as_it_is_alone(iris, output_metric):
    X, _ = iris
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(output_metric=output_metric, **SHORT)).fit(X)
    search = GridSearchCV(pipeline, {"parametricumap__spread": [1.0]}, cv=2).fit(X)
    expected = as_drawn(pipeline.transform(X), output_metric)
    for estimator in (pipeline, search):
        np.testing.assert_allclose(EmbeddingDisplay.from_estimator(estimator, X).Z, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Z": points(5, 4)}, "n_components must be 2 or 3 .* got 4"),
        ({"Z": points(5, 1)}, "n_components must be 2 or 3 .* got 1"),
        ({"Z": np.full((5, 2), np.nan)}, "Z contains NaN"),
        ({"Z": points(5), "y": [1, 2]}, "y must hold one target for each of the 5 points; got 2"),
        ({"Z": points(5), "y": np.ones((5, 2))}, "y should be a 1d array"),
        ({"Z": points(5), "y": [0.5, np.inf, 0, 0, 0]}, "y must not hold infinity"),
        (
            {"Z": points(5), "y": np.arange(5).astype("M8[D]")},
            "y must hold labels or numbers; got the dtype datetime64",
        ),
        ({"Z": points(5), "unseen": [0, 1, 0, 1, 0]}, "unseen must hold 5 booleans.*got 5 of int"),
        ({"Z": points(5), "unseen": [True]}, "unseen must hold 5 booleans.*got 1 of bool"),
        ({"Z": points(5), "unseen": [[True, False]] * 5}, r"unseen must have one dimension; got the shape \(5, 2\)"),
        ({"Z": points(3), "unseen": pd.array([True, None, False], dtype="boolean")}, "unseen must hold 3 booleans"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay.from_embedding(**arguments)


def test_axes_of_another_number_of_coordinates_are_refused():
    with pytest.raises(ValueError, match="ax must have the projection '3d' for 3 coordinates; got 'rectilinear'"):
        EmbeddingDisplay.from_embedding(points(5, 3), ax=plt.figure().add_subplot())
    with pytest.raises(ValueError, match="ax must have the projection 'rectilinear' for 2 coordinates; got '3d'"):
        EmbeddingDisplay.from_embedding(points(5), ax=plt.figure().add_subplot(projection="3d"))


@pytest.mark.parametrize("draw", [EmbeddingDisplay(points(5)).plot, LossCurveDisplay({"main": [1.0, 2]}).plot])
def test_what_are_no_axes_is_named(draw):
    figure, axes = plt.subplots(2)
    for ax in (figure, axes):
        with pytest.raises(TypeError, match=f"ax must be a matplotlib Axes, or None; got {type(ax).__name__}"):
            draw(ax=ax)


@pytest.mark.parametrize(
    ("module", "draw"),
    [
        (embedding, lambda ax: EmbeddingDisplay.from_embedding(points(5), ax=ax)),
        (diagnostic, lambda ax: DiagnosticDisplay(points(5), np.ones(5)).plot(ax=ax)),
    ],
)
def test_no_half_drawn_figure_is_left(module, draw, monkeypatch):
    def failing(*args, **kwargs):
        raise RuntimeError("out of ink")

    monkeypatch.setattr(module, "draw_points", failing)
    own = plt.figure()
    for ax in (None, own.add_subplot()):
        with pytest.raises(RuntimeError, match="out of ink"):
            draw(ax)
        assert plt.get_fignums() == [own.number]


def test_nothing_is_imported_before_it_draws():
    code = (
        "import sys, parametric_umap.plotting as p; p.EmbeddingDisplay([[0, 1]]);"
        "print([name for name in ('matplotlib', 'plotly', 'PIL') if name in sys.modules])"
    )
    root = Path(__file__).parents[1]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root, timeout=300).strip() == "[]"


@pytest.mark.parametrize(("package", "extra"), [("matplotlib.pyplot", "plot"), ("plotly", "interactive")])
def test_a_missing_package_is_named_with_its_extra(package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    display = EmbeddingDisplay(points(5))
    with pytest.raises(ImportError, match=rf"pip install 'torch-parametric-umap\[{extra}\]'"):
        display.plot() if extra == "plot" else display.to_html(tmp_path / "map.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", [embedding, loss_curve, diagnostic])
def test_the_docstrings_example_gives_what_it_says(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


# Loss curves


def test_each_phase_has_its_curve(iris):
    X, _ = iris
    umap = ParametricUMAP(**SHORT, decoder=True, reconstruction_validation=0.2).fit(X)
    display = LossCurveDisplay.from_estimator(umap)
    assert list(display.axes_) == ["spectral_init", "main_embedding", "reconstruction"]
    for name, losses in umap.loss_curve_.items():
        epochs, drawn = display.lines_[name].get_data()
        np.testing.assert_array_equal(drawn, losses)
        np.testing.assert_array_equal(epochs, np.arange(1, len(losses) + 1))
    assert display.lines_["reconstruction_validation"].axes is display.axes_["reconstruction"]
    assert entries(display.axes_["reconstruction"].get_legend()) == ["fitted rows", "other rows"]


@pytest.mark.parametrize("n_epochs", [1, 2, 3])
def test_ticks_are_epochs(n_epochs):
    panel = LossCurveDisplay({"main_embedding": np.ones(n_epochs)}).plot().axes_["main_embedding"]
    left, right = panel.get_xlim()
    assert [tick for tick in panel.get_xticks() if left <= tick <= right] == list(range(1, n_epochs + 1))


def test_a_phase_without_epochs_has_no_panel(iris):
    umap = ParametricUMAP(**SHORT, init="random").fit(iris[0])
    figure, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(umap, ax=ax)
    assert list(display.lines_) == list(display.axes_) == ["main_embedding"]
    assert display.figure_ is figure
    assert list(LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), umap)).lines_) == ["main_embedding"]
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(ParametricUMAP())


# Where a map may err


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_frames_may_be_asked_for_all_the_same(iris, container):
    X, _ = iris
    umap = ParametricUMAP(n_epochs=1, batches_per_epoch=5, random_state=0).fit(X)
    plain = DiagnosticDisplay.from_estimator(umap, X)
    framed = DiagnosticDisplay.from_estimator(umap.set_output(transform=container), X)
    np.testing.assert_array_equal(framed.trustworthiness, plain.trustworthiness)


def test_rows_of_a_frame_are_looked_at_without_a_warning(iris):
    X = pd.DataFrame(iris[0], columns=list("abcd"))
    umap = ParametricUMAP(**SHORT).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DiagnosticDisplay.from_estimator(umap, X).edges_ is not None


def test_in_a_pipeline_or_a_search_the_rows_are_looked_at_that_the_map_is_made_of(iris):
    X = iris[0] * [1, 1, 1, 1000]
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(**SHORT)).fit(X)
    expected = DiagnosticDisplay.from_estimator(pipeline[-1], StandardScaler().fit_transform(X))
    assert expected.edges_ is not None
    for estimator in (pipeline, GridSearchCV(pipeline, {"parametricumap__spread": [1.0]}, cv=2).fit(X)):
        display = DiagnosticDisplay.from_estimator(estimator, X)
        np.testing.assert_array_equal(display.trustworthiness, expected.trustworthiness)
        assert (display.graph != expected.graph).nnz == 0
    with pytest.raises(TypeError, match=r"estimator must be a ParametricUMAP, a pipeline .*; got PCA\(\)"):
        DiagnosticDisplay.from_estimator(make_pipeline(StandardScaler(), PCA()).fit(X), X)


def test_points_are_colored_by_trust_and_edges_join_neighbors(umap, iris):
    X, _ = iris
    display = DiagnosticDisplay.from_estimator(umap, X, n_neighbors=10)
    expected = trustworthiness(X, umap.embedding_, n_neighbors=10)
    assert display.trustworthiness.mean() == pytest.approx(expected, abs=1e-3)
    drawn = pairwise_distances(umap.embedding_, positions(display.points_)).argmin(axis=0)
    assert (np.diff(display.trustworthiness[drawn]) <= 1e-9).mean() > 0.9  # the worst last, but for equal points
    segments = np.array(display.edges_.get_segments())
    assert len(segments) == umap.graph_.nnz // 2
    ends = pairwise_distances(segments.reshape(-1, 2), umap.embedding_).min(axis=1)
    np.testing.assert_allclose(ends, 0, atol=1e-4)
    assert display.colorbar_.ax.get_ylabel() == "local trustworthiness"


def test_edges_are_as_opaque_as_they_are_heavy(umap, iris):
    display = DiagnosticDisplay.from_estimator(umap, iris[0])
    opacity = display.edges_.get_colors()[:, 3]
    weights = np.sort(umap.graph_.data)[::-2]
    np.testing.assert_allclose(opacity / opacity[0], weights / weights[0], rtol=1e-4)


def test_unseen_rows_have_no_edges(umap, iris):
    display = DiagnosticDisplay.from_estimator(umap, iris[0][:50])
    assert display.edges_ is None
    assert len(display.trustworthiness) == 50


def test_a_diagnosis_in_space_and_of_too_few_rows(iris):
    X, _ = iris
    umap = ParametricUMAP(n_components=3, **SHORT).fit(X)
    display = DiagnosticDisplay.from_estimator(umap, X)
    assert display.ax_.name == "3d"
    for n_neighbors in (5, 0, "a", 1.5):
        message = f"n_neighbors must be a whole number from 1 to 4 for 10 rows; got {n_neighbors!r}"
        with pytest.raises(ValueError, match=message):
            DiagnosticDisplay.from_estimator(umap, X[:10], n_neighbors=n_neighbors)
    assert len(DiagnosticDisplay.from_estimator(umap, X[:10]).trustworthiness) == 10


# The page


def test_images_become_bytes():
    images = np.array([[[0.0, 1], [2, 4]]])
    np.testing.assert_array_equal(as_bytes(images, 1), [[[0, 64], [128, 255]]])
    same = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert as_bytes(same, 1) is same
    tensor = torch.from_numpy(images).to(torch.bfloat16).requires_grad_()
    np.testing.assert_array_equal(as_bytes(tensor, 1), as_bytes(images, 1))


@pytest.mark.parametrize(("scale", "offset"), [(1e300, 0), (4e307, -8e307), (1e-300, 0), (3e5, -6e5)])
def test_images_of_any_finite_numbers_become_bytes(scale, offset):
    images = np.array([[[0.0, 1], [2, 4]]]) * scale + offset
    np.testing.assert_array_equal(as_bytes(images, 1), [[[0, 64], [128, 255]]])
    np.testing.assert_array_equal(as_bytes(np.full((1, 2, 2), scale), 1), np.zeros((1, 2, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((4, 8, 8))}, r"images must have the shape \(5, height, width\).*got \(4, 8, 8\)"),
        ({"images": np.zeros((5, 64))}, r"images must have the shape .*got \(5, 64\)"),
        ({"images": np.zeros((5, 8, 8, 4))}, r"images must have the shape .*got \(5, 8, 8, 4\)"),
        ({"images": np.full((5, 8, 8), np.nan)}, "images must be finite"),
        ({"text": ["a"]}, r"text must hold one line for each of the 5 points; got the shape \(1,\)"),
        ({"text": "abc"}, r"text must hold one line .*; got the shape \(\)"),
        ({"text": [["a", "b"]] * 5}, r"text must hold one line .*; got the shape \(5, 2\)"),
    ],
)
def test_what_a_page_cannot_show_is_named_and_nothing_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay(points(5)).to_html(tmp_path / "map.html", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_another_number_of_coordinates_is_refused(tmp_path):
    with pytest.raises(ValueError, match="n_components must be 2 or 3"):
        EmbeddingDisplay(points(5, 4)).to_html(tmp_path / "map.html")


def test_a_page_of_70_000_images_stays_small(tmp_path):
    """Beside plotly itself: the points take 12 bytes each, in base64, and an image less than its pixels."""
    n = 70_000
    images = np.kron(
        np.random.default_rng(0).integers(2, size=(n, 2, 2), dtype=np.uint8) * 255, np.ones((4, 4), np.uint8)
    )
    EmbeddingDisplay(points(n), np.arange(n) % 10).to_html(tmp_path / "map.html", images=images)
    assert (tmp_path / "map.html").stat().st_size < 6e6 + n * (16 + 64)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium, with the log of its console and of its network."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("Chromium and its driver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = "headless=new no-sandbox disable-gpu use-gl=angle use-angle=swiftshader enable-unsafe-swiftshader"
    flags += " disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    for flag in [*flags.split(), "window-size=1000,800", f"user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield driver
    driver.quit()


PLACE = """
const plot = document.querySelector(".plotly-graph-div"), place = plot.getBoundingClientRect();
const {xaxis, yaxis} = plot._fullLayout;
for (const trace of plot._fullData) {
  const point = [...(trace.customdata || [])].indexOf(arguments[0]);
  if (point >= 0) return [place.left + xaxis._offset + xaxis.d2p(trace.x[point]),
                          place.top + yaxis._offset + yaxis.d2p(trace.y[point])];
}
"""


def point_at(browser, row):
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = browser.execute_script(PLACE, row)
    for shift in (12, 0):  # a pointer that is moved, as a hand does it
        actions = ActionChains(browser)
        actions.w3c_actions.pointer_action.move_to_location(round(x) + shift, round(y))
        actions.perform()


def shown(browser, script, wanted):
    """What the page gives for a script, once it is what is wanted, or after ten seconds."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    with suppress(TimeoutException):
        WebDriverWait(browser, 10).until(lambda _: browser.execute_script(script) == wanted)
    return browser.execute_script(script)


HOVER = "return [...document.querySelectorAll('.hovertext tspan.line')].map(line => line.textContent)"
THUMBNAIL = """
const box = document.getElementById("thumbnail");
return box.style.display === "block" ? box.dataset.row : null;
"""
PIXEL = """
const box = document.getElementById("thumbnail"), done = arguments[0], image = new Image();
image.onload = () => {
  const canvas = document.createElement("canvas"), scale = image.width / parseFloat(box.style.backgroundSize);
  const [x, y] = box.style.backgroundPosition.split(" ").map(offset => -parseFloat(offset) * scale);
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  done([...context.getImageData(Math.round(x) + 4, Math.round(y) + 4, 1, 1).data].slice(0, 3));
};
image.src = box.style.backgroundImage.slice(5, -2);
"""


def test_a_browser_shows_label_text_and_image_of_the_point_at_which_it_points(browser, tmp_path):
    """Of 1,500 images, of which the last lie on a second sheet, each is of one grey of its own."""
    n = 1_500
    Z = np.stack(np.meshgrid(np.arange(50), np.arange(30)), axis=-1).reshape(n, 2).astype(np.float32)
    names = np.array(["cats & <b>dogs</b>", "%{x}", "birds"])[np.arange(n) % 3]
    greys = (np.arange(n) * 37 % 256).astype(np.uint8)
    images = np.repeat(greys, 64).reshape(n, 8, 8)
    unseen = np.arange(n) % 5 == 0
    page = tmp_path / "map.html"
    EmbeddingDisplay(Z, names, unseen=unseen).to_html(page, images=images, text=[f"animal {row}" for row in range(n)])
    browser.get(page.as_uri())
    for row in (0, 731, 1_234, 1_499):
        point_at(browser, row)
        lines = [names[row], f"animal {row}", f"row {row}" + (", unseen" if unseen[row] else "")]
        assert shown(browser, HOVER, lines) == lines
        assert shown(browser, THUMBNAIL, str(row)) == str(row)
        np.testing.assert_allclose(browser.execute_async_script(PIXEL), [greys[row]] * 3, atol=6)
    legend = browser.execute_script("return [...document.querySelectorAll('.legendtext')].map(e => e.textContent)")
    assert legend == ["%{x}", "birds", "cats & <b>dogs</b>"]
    assert_quiet(browser)


def test_the_scale_of_numbers_is_there_once(tmp_path):
    known = points(60)[:, 0]
    new = np.where(np.arange(60) < 20, known, np.nan)  # known of unseen rows alone
    for y, n_unseen in ((known, 0), (known, 20), (known, 60), (new, 0), (new, 20), (new, 60)):
        page = tmp_path / "map.html"
        EmbeddingDisplay(points(60), y, unseen=np.arange(60) < n_unseen if n_unseen else None).to_html(page)
        assert page.read_text().rpartition("newPlot")[2].count('"showscale":true') == 1


def test_a_browser_turns_a_map_in_space_and_zooms_a_flat_one(browser, tmp_path):
    EmbeddingDisplay(points(100, 3), points(100)[:, 0]).to_html(tmp_path / "space.html", images=np.zeros((100, 4, 4)))
    browser.get((tmp_path / "space.html").as_uri())
    assert browser.execute_script("return document.querySelector('.plotly-graph-div').data[0].type") == "scatter3d"
    assert_quiet(browser)

    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    EmbeddingDisplay(points(100)).to_html(tmp_path / "flat.html")
    browser.get((tmp_path / "flat.html").as_uri())
    width = "const r = document.querySelector('.plotly-graph-div')._fullLayout.xaxis.range; return r[1] - r[0]"
    before = browser.execute_script(width)
    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_viewport(500, 400), 0, -400).perform()
    zoomed = f"{width} < {0.95 * before}"
    assert shown(browser, zoomed, True)
    assert_quiet(browser)


def assert_quiet(browser):
    """Nothing went wrong in the page, and it asked nobody for anything; nor has it a button that would."""
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith("file:") for url in sent)  # the log is on
    assert [url for url in sent if not url.startswith(("file:", "data:", "blob:", "chrome:"))] == []
    buttons = browser.execute_script("return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert buttons
    assert not [button for button in buttons if "hare" in button or "loud" in button]
