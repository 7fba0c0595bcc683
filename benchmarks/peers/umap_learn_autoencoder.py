"""umap-learn's ParametricUMAP as an autoencoder of 32 components; its maps are the rows it gives back."""

import keras
from umap.parametric_umap import ParametricUMAP
from worker import work


def fit(X, seed):
    model = ParametricUMAP(
        n_components=32,
        autoencoder_loss=True,
        parametric_reconstruction=True,
        parametric_reconstruction_loss_fcn=keras.losses.MeanSquaredError(),
        parametric_reconstruction_loss_weight=100.0,
        random_state=seed,
    ).fit(X)
    return model.inverse_transform(model.embedding_), lambda rows: model.inverse_transform(model.transform(rows))


if __name__ == "__main__":
    work(fit)
