"""What is kept of a fit."""

from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from .containers import as_numpy
from .encoder import parts
from .engine import embed
from .progress import PHASES
from .terms import embedded_log_radii
from .typing import FloatArray


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A fitted map: its fields are the attributes of that name of `ParametricUMAP`; None for those that a fit lacks."""

    encoder_: torch.nn.Module
    embedding_: FloatArray
    graph_: sp.csr_array
    init_embedding_: FloatArray
    a_: float
    b_: float
    loss_curve_: dict[str, NDArray[np.float64]]
    reference_rows_: Any
    reference_distance_: float
    n_samples_seen_: int
    device_: torch.device
    decoder_: torch.nn.Module | None = None
    rad_orig_: NDArray[np.float64] | None = None
    rad_emb_: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, data, problem, model, training, plan, *, copied=False):
        """Map the rows by what training has come to.

        Parameters
        ----------
        data : FitData
            What is fitted.
        problem : Problem
            What was found before training.
        model : Model
            The encoder and the decoder.
        training : Training
            Gives the losses.
        plan : Plan
            Says what else is kept.
        copied : bool, default=False
            Whether the modules are copies, since training goes on.

        Returns
        -------
        fitted : FittedMap
            Its modules are in evaluation mode.
        """
        encoder, decoder = deepcopy((model.encoder, model.decoder)) if copied else (model.encoder, model.decoder)
        prepare, network = parts(encoder.eval())
        are_all, device = data.mapped is data.rows, problem.device
        embedding = as_numpy(embed(prepare, network, problem.rows if are_all else data.mapped, device))
        radii = {}
        if plan.keeps_radii:
            of_all = embedding if are_all else as_numpy(embed(prepare, network, problem.rows, device))
            radii["rad_orig_"] = problem.log_radii[data.of_mapped]
            radii["rad_emb_"] = embedded_log_radii(of_all, plan.n_neighbors, problem.seed)[data.of_mapped]
        losses = {name: [] for name in PHASES} | training.losses
        return cls(
            encoder_=encoder,
            decoder_=None if decoder is None else decoder.eval(),
            embedding_=embedding,
            graph_=problem.graph.to_scipy(),
            init_embedding_=as_numpy(problem.init_embedding)[data.of_mapped],
            a_=plan.a,
            b_=plan.b,
            loss_curve_={name: np.array(values, dtype=np.float64) for name, values in losses.items()},
            reference_rows_=data.references,
            reference_distance_=problem.reference_distance,
            n_samples_seen_=data.n_samples_seen,
            device_=device,
            **radii,
        )

    def attributes(self) -> dict[str, Any]:
        """The attributes that the fit has, by their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


# Those that not every fit has.
OPTIONAL_ATTRIBUTES = tuple(field.name for field in fields(FittedMap) if field.default is None)
