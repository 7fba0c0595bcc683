"""How good a map is: what it keeps of neighbourhoods, of distances and of classes; and scorers for ``scoring=``.

Each is a function of rows and of their positions on any map, whoever made it.
"""

from .classes import knn_accuracy
from .distances import distance_correlation, random_triplet_accuracy
from .neighborhoods import continuity, local_trustworthiness, neighborhood_recall, trustworthiness
from .scorers import (
    continuity_scorer,
    distance_correlation_scorer,
    knn_accuracy_scorer,
    make_embedding_scorer,
    neighborhood_recall_scorer,
    random_triplet_accuracy_scorer,
    trustworthiness_scorer,
)

__all__ = [
    "continuity",
    "continuity_scorer",
    "distance_correlation",
    "distance_correlation_scorer",
    "knn_accuracy",
    "knn_accuracy_scorer",
    "local_trustworthiness",
    "make_embedding_scorer",
    "neighborhood_recall",
    "neighborhood_recall_scorer",
    "random_triplet_accuracy",
    "random_triplet_accuracy_scorer",
    "trustworthiness",
    "trustworthiness_scorer",
]
