"""
Landmarks: rows in given places
===============================

Some rows should lie somewhere, and the others around them: here five rows of each digit, on a circle in the order of
the digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)

angle = 2 * np.pi * np.arange(10) / 10
circle = 12 * np.c_[np.sin(angle), np.cos(angle)]
landmarks = np.full((len(X), 2), np.nan)  # a row that holds NaN is free
for digit in range(10):
    some = np.flatnonzero(y == digit)[:5]
    landmarks[some] = circle[digit]

umap = ParametricUMAP(random_state=0).fit(X, landmark_positions=landmarks)

fig, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
ax.scatter(*umap.embedding_.T, c=y, cmap="tab10", s=5)
for digit, place in enumerate(circle):
    ax.text(*place, digit, fontsize=14, weight="bold", ha="center", va="center")
ax.set(title="digits around their landmarks", xticks=[], yticks=[], aspect="equal")
plt.show()
