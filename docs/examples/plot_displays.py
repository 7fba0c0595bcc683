"""
Displays: maps, losses, and where a map may err
===============================================

What `parametric_umap.plotting` draws, from a fitted estimator.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP
from parametric_umap.plotting import DiagnosticDisplay, EmbeddingDisplay, LossCurveDisplay

X, y = load_digits(return_X_y=True)
fitted = np.arange(len(X)) < 1500
umap = ParametricUMAP(random_state=0).fit(X[fitted])

EmbeddingDisplay.from_estimator(umap, X, y, unseen=~fitted)
plt.show()

# %%
# The losses of both phases.

LossCurveDisplay.from_estimator(umap)
plt.show()

# %%
# The trustworthiness of each point, and the edges of the graph.

DiagnosticDisplay.from_estimator(umap, X[fitted])
plt.show()
