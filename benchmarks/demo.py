"""Fit two thirds of scikit-learn's digits, map the third that was held out, and draw both: ``make demo``."""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split

from parametric_umap import EmbeddingDisplay, ParametricUMAP
from parametric_umap.metrics import knn_accuracy


def main():
    X, y = load_digits(return_X_y=True)
    X, X_unseen, y, y_unseen = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

    model = ParametricUMAP(random_state=0, verbose=True).fit(X)
    Z, Z_unseen = model.embedding_, model.transform(X_unseen)

    print(f"\n{len(X)} digits fitted, {len(X_unseen)} unseen ones mapped; of the unseen ones:")
    print(f"  trustworthiness  {trustworthiness(X_unseen, Z_unseen, n_neighbors=15):.3f}  (15 neighbours)")
    print(f"  k-NN accuracy    {knn_accuracy(Z, y, Z_unseen, y_unseen):.3f}  (10 neighbours among the fitted)")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.8, 5.4), layout="constrained")
    EmbeddingDisplay.from_embedding(Z, y, ax=left).legend_.remove()
    EmbeddingDisplay.from_embedding(Z_unseen, y_unseen, ax=right)
    left.set_title(f"{len(X):,} digits fitted", loc="left")
    right.set_title(f"{len(X_unseen):,} never seen", loc="left")
    right.set(xlim=left.get_xlim(), ylim=left.get_ylim())
    figure.savefig("demo.png", dpi=160)
    print("\ndemo.png is written.")


if __name__ == "__main__":
    main()
