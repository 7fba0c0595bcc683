"""
What moves a point
==================

`feature_attributions` is the exact derivative of the map: how far each feature moves each point, and which way.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from parametric_umap import ParametricUMAP

# %%
# Wines, by what a chemist measures. `importances` says how far a point moves on average if a feature changes by its
# standard deviation.

data = load_wine(as_frame=True)
X = StandardScaler().set_output(transform="pandas").fit_transform(data.data)
wine = ParametricUMAP(random_state=0).fit(X)
attributions = wine.feature_attributions(X)
order = np.argsort(attributions.importances)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
axes[0].scatter(*wine.embedding_.T, c=data.target, cmap="tab10", vmax=9, s=12)
axes[0].set(title="178 wines of three cultivars", xticks=[], yticks=[])
axes[1].barh(attributions.feature_names[order], attributions.importances[order])
axes[1].set(title="what moves them", xlabel="importance")
plt.show()

# %%
# Digits: above some images, below how far each pixel moves them.

X, y = load_digits(return_X_y=True)
digits = ParametricUMAP(random_state=0).fit(X)
lengths = np.linalg.norm(digits.feature_attributions(X[:10]).jacobian, axis=1)

fig, axes = plt.subplots(2, 10, figsize=(9, 2.4), layout="constrained")
fig.suptitle("ten digits, and how far each pixel moves them")
for panel, image in zip(axes.flat, [*X[:10], *lengths], strict=True):
    panel.imshow(image.reshape(8, 8), cmap="gray_r")
    panel.set_axis_off()
plt.show()
