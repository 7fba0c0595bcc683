"""Fit two thirds of scikit-learn's digits, map the third that was held out, and draw both: ``make demo``."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy

INK = "#333333"


def main():
    X, y = load_digits(return_X_y=True)
    X, X_unseen, y, y_unseen = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

    model = ParametricUMAP(random_state=0, verbose=True).fit(X)
    Z, Z_unseen = model.embedding_, model.transform(X_unseen)

    print(f"\n{len(X)} digits fitted, {len(X_unseen)} unseen ones mapped; of the unseen ones:")
    print(f"  trustworthiness  {trustworthiness(X_unseen, Z_unseen, n_neighbors=15):.3f}  (15 neighbours)")
    print(f"  k-NN accuracy    {knn_accuracy(Z, y, Z_unseen, y_unseen):.3f}  (10 neighbours among the fitted)")

    draw({f"{len(X):,} digits fitted": (Z, y), f"{len(X_unseen):,} never seen": (Z_unseen, y_unseen)}, "demo.png")
    print("\ndemo.png is written.")


def draw(maps, path, *, size=14, alpha=0.85):
    """Draw embedded digits side by side, on the same axes, coloured by digit.

    Parameters
    ----------
    maps : dict of {str: (ndarray of shape (n_samples, 2), ndarray of shape (n_samples,))}
        Positions and digits of each part, by its title.
    path : str or Path
        The png file to write.
    size : float, default=14
        Area of a point, in square typographic points.
    alpha : float, default=0.85
        Opacity of a point.
    """
    figure = Figure(figsize=(5.2 * len(maps), 5.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.03)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    xlim, ylim = square_around(np.concatenate([Z for Z, _ in maps.values()]))
    for panel, (title, (Z, y)) in zip(panels, maps.items(), strict=True):
        points = panel.scatter(*Z.T, c=y, cmap="tab10", vmin=-0.5, vmax=9.5, s=size, alpha=alpha, linewidths=0)
        panel.set_title(title, loc="left", color=INK, fontsize=13, pad=8)
        panel.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[], aspect="equal")
        panel.spines[:].set(color="#cccccc", linewidth=0.8)
    handles, digits = points.legend_elements(num=range(10), alpha=1, markersize=8)
    figure.legend(
        handles,
        digits,
        loc="outside lower center",
        ncols=10,
        frameon=False,
        fontsize=12,
        labelcolor=INK,
        handlelength=0.8,
        handletextpad=0.3,
        columnspacing=1.2,
    )
    figure.savefig(path, dpi=160, bbox_inches="tight", pad_inches=0.2)


def square_around(Z, margin=0.04):
    """Limits of both axes that show all positions, equally long."""
    low, high = Z.min(axis=0), Z.max(axis=0)
    reach = (0.5 + margin) * (high - low).max()
    return [(centre - reach, centre + reach) for centre in (low + high) / 2]


if __name__ == "__main__":
    main()
