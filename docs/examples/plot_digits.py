"""
A map, and rows that it never saw
=================================

Two thirds of scikit-learn's digits, images of 8 x 8 pixels, are fitted; the last third is mapped by the fitted network.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

umap = ParametricUMAP(random_state=0).fit(X)
Z, Z_new = umap.embedding_, umap.transform(X_new)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.8), sharex=True, sharey=True, layout="constrained")
for ax, points, digits, title in ((axes[0], Z, y, "1,198 digits fitted"), (axes[1], Z_new, y_new, "599 never seen")):
    drawn = ax.scatter(*points.T, c=digits, cmap="tab10", s=8)
    ax.set(title=title, xticks=[], yticks=[])
fig.legend(*drawn.legend_elements(num=range(10)), ncols=10, loc="outside lower center", frameon=False)
plt.show()

# %%
# How many of the new digits have the label of most of their ten nearest fitted neighbours on the map, and how far their
# neighbours on the map are neighbours among the rows:

print(f"k-NN accuracy    {knn_accuracy(Z, y, Z_new, y_new):.3f}")
print(f"trustworthiness  {umap.score(X_new):.3f}")
