"""ParaDime's "Parametric UMAP" example, in the words of its version 1.1.0; its network's activation is softplus."""

import torch
from paradime.dr import DerivedData, ParametricDR, TrainingPhase, _spectral
from paradime.loss import PositionLoss, RelationLoss, cross_entropy_loss
from paradime.models import FullyConnectedEmbeddingModel
from paradime.relations import DistsFromTo, NeighborBasedPDist
from paradime.transforms import ConnectivityBasedRescale, ModifiedCauchyTransform, Symmetrize
from paradime.utils.seed import seed_all
from worker import work


def fit(X, seed, network=FullyConnectedEmbeddingModel):
    seed_all(seed)
    routine = ParametricDR(
        model=network(in_dim=X.shape[1], out_dim=2, hidden_dims=[100, 100, 100]),
        global_relations=NeighborBasedPDist(
            transform=[ConnectivityBasedRescale(n_neighbors=30), Symmetrize(subtract_product=True)]
        ),
        batch_relations=DistsFromTo(transform=[ModifiedCauchyTransform(min_dist=0.1, spread=1)]),
        derived_data={"spectral": DerivedData(_spectral, type_key_tuples=[("rels", "rel")])},
        losses={
            "spectral_init": PositionLoss(position_key="spectral"),
            "main_embedding": RelationLoss(loss_function=cross_entropy_loss),
        },
        training_phases=phases(),
        verbose=True,
    )
    routine.train(torch.from_numpy(X))

    def transform(X):
        return routine.apply(torch.from_numpy(X)).detach()

    return transform(X), transform


def phases():
    spectral_init = TrainingPhase(
        name="spectral_init",
        loss_keys=["spectral_init"],
        epochs=10,
        batch_size=500,
        learning_rate=0.01,
        report_interval=2,
    )
    main_embedding = TrainingPhase(
        name="main_embedding",
        loss_keys=["main_embedding"],
        sampling="negative_edge",
        neg_sampling_rate=3,
        epochs=60,
        batches_per_epoch=10,
        batch_size=500,
        learning_rate=0.01,
        report_interval=5,
    )
    return [spectral_init, main_embedding]


if __name__ == "__main__":
    work(fit)
