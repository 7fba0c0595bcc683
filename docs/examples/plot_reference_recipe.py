"""
ParaDime's recipe
=================

Every setting of ParaDime's "Parametric UMAP" example is a parameter. Here they are used on digits; on MNIST, as there,
by `benchmarks/reference_recipe.py`. The losses are printed as its phases report them.
This example needs the repository's folder `benchmarks`, where the recipe is.
"""

import matplotlib.pyplot as plt
from reference_recipe import RECIPE  # benchmarks/reference_recipe.py
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

for name, value in RECIPE.items():
    print(f"{name} = {value!r}")

# %%

X, y = load_digits(return_X_y=True)
umap = ParametricUMAP(**RECIPE, random_state=0).fit(X / 16)

fig, ax = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
drawn = ax.scatter(*umap.embedding_.T, c=y, cmap="tab10", s=8)
ax.set(title="digits by ParaDime's recipe", xticks=[], yticks=[])
ax.legend(*drawn.legend_elements(num=range(10)), loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()
