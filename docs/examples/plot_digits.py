"""
A map, and rows that it never saw
=================================

Two thirds of scikit-learn's digits, images of 8 x 8 pixels, are fitted; the last third, drawn with an outline, is
mapped by the fitted network.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import EmbeddingDisplay, ParametricUMAP
from parametric_umap.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

umap = ParametricUMAP(random_state=0).fit(X)
Z, Z_new = umap.embedding_, umap.transform(X_new)

unseen = np.repeat([False, True], [len(Z), len(Z_new)])
display = EmbeddingDisplay.from_embedding(np.vstack([Z, Z_new]), np.r_[y, y_new], unseen=unseen)
display.ax_.set_title("digits, and with an outline those that were not fitted")
plt.show()

# %%
# How many of the new digits have the label of most of their ten nearest fitted neighbours on the map, and how far their
# neighbours on the map are neighbours among the rows:

print(f"k-NN accuracy    {knn_accuracy(Z, y, Z_new, y_new):.3f}")
print(f"trustworthiness  {umap.score(X_new):.3f}")
