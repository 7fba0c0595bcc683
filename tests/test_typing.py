"""What a type checker says of programs that use the package."""

import importlib
import inspect
import os
import subprocess
import sys
from importlib.resources import files

import pytest

from parametric_umap import ParametricUMAP

PUBLIC_MODULES = ["metrics", "plotting", "neighbors", "graph", "spectral", "initialization", "supervision", "losses"]

# What is wrong in a line is said at its end.
PROGRAM = """
import numpy as np
import torch
from numpy.typing import NDArray

from parametric_umap import DiagnosticDisplay, EmbeddingDisplay, LossCurveDisplay, ParametricUMAP
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import find_ab_params
from parametric_umap.metrics import knn_accuracy
from parametric_umap.neighbors import nearest_neighbors

X = np.zeros((20, 3))
umap = ParametricUMAP(10, metric="minkowski", metric_kwds={"p": 3}, encoder=torch.nn.Linear(3, 2), init=X[:, :2])
umap = ParametricUMAP(encoder=lambda n_inputs, n_outputs: torch.nn.Linear(n_inputs, n_outputs), device="cpu")
Z: NDArray[np.float32] = umap.fit([[0.0, 1.0], [1.0, 0.0]], landmark_positions=X).transform(X)
losses: NDArray[np.float64] = umap.partial_fit(X).loss_curve_["main_embedding"]
accuracy: float = knn_accuracy(umap.embedding_, [0, 1] * 10)
rows: NDArray[np.float32] = ParametricUMAP.load("umap.safetensors").inverse_transform(Z)
graph = fuzzy_simplicial_set(*nearest_neighbors(X, 5, metric="cosine", random_state=0))
a, b = find_ab_params(1.0, min_dist=0.1)
display: EmbeddingDisplay = EmbeddingDisplay.from_estimator(umap, X, ["a", "b"] * 10, unseen=[True, False] * 10)
EmbeddingDisplay.from_embedding(Z).plot(ax=display.ax_).to_html("map.html", images=X[:, None], text=["a"] * 20)
EmbeddingDisplay(Z, unseen=X[:, 0] > 0).plot().figure_.savefig("map.png")
trusted: NDArray[np.floating] = DiagnosticDisplay.from_estimator(umap, X, n_neighbors=5).plot().trustworthiness
names = list(LossCurveDisplay.from_estimator(umap).plot(ax=display.ax_).lines_)

ParametricUMAP(n_neighbors="15")  # wrong: arg-type
ParametricUMAP(activation="swish")  # wrong: arg-type
ParametricUMAP(n_neighbours=15)  # wrong: call-arg
ParametricUMAP(10, 2, "cosine")  # wrong: call-arg
umap.fit()  # wrong: call-arg
umap.fit(None)  # wrong: arg-type
umap.fit(X, landmarks=X)  # wrong: call-arg
umap.transform(X).numpy()  # wrong: attr-defined
umap.inverse_transform()  # wrong: call-arg
umap.save(1)  # wrong: arg-type
knn_accuracy(Z)  # wrong: call-arg
nearest_neighbors(X, 5, "cosine")  # wrong: call-arg
fuzzy_simplicial_set(*nearest_neighbors(X, 5), local_connectivity=None)  # wrong: arg-type
find_ab_params("1", 0.1)  # wrong: arg-type
EmbeddingDisplay.from_estimator(umap)  # wrong: call-arg
EmbeddingDisplay(Z, axes=None)  # wrong: call-arg
display.to_html(3)  # wrong: arg-type
display.legend  # wrong: attr-defined
DiagnosticDisplay.from_estimator(umap, X, n_neighbors="5")  # wrong: arg-type
LossCurveDisplay([1.0])  # wrong: arg-type
"""

# Of a user who has no stubs. Reading torch and matplotlib would take most of the time.
CONFIGURATION = """
[mypy]
ignore_missing_imports = true
strict = true
[mypy-torch.*,matplotlib.*]
follow_imports = skip
"""


def test_a_right_program_checks_and_each_wrong_line_does_not(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    environment = os.environ | {"PYTHONPATH": str(files("parametric_umap").parent)}  # as if it were installed
    command = [sys.executable, "-m", "mypy", "--no-error-summary", program.name]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    found = {}
    for line in run.stdout.splitlines():
        place, severity, message = line.split(": ", 2)
        if severity == "error":
            file, number = place.split(":")
            assert file == program.name, line
            found[int(number)] = message.rpartition("[")[2].rstrip("]")
    wrong = {
        number: line.rpartition("# wrong: ")[2]
        for number, line in enumerate(PROGRAM.splitlines(), start=1)
        if "# wrong: " in line
    }
    assert found == wrong, run.stdout + run.stderr


def _public_functions():
    for name in PUBLIC_MODULES:
        module = importlib.import_module(f"parametric_umap.{name}")
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        for attribute in getattr(module, "__all__", own):
            value = getattr(module, attribute)
            if inspect.isclass(value):
                yield from _methods(value, f"{name}.{attribute}")
            elif inspect.isfunction(value) and not attribute.startswith("_"):
                yield f"{name}.{attribute}", value
    yield from _methods(ParametricUMAP, "ParametricUMAP")


def _methods(cls, prefix):
    for attribute, value in vars(cls).items():
        function = inspect.unwrap(getattr(value, "fn", getattr(value, "__func__", value)))
        if inspect.isfunction(function) and (attribute == "__init__" or not attribute.startswith("_")):
            yield f"{prefix}.{attribute}", function


@pytest.mark.parametrize("function", [pytest.param(function, id=name) for name, function in _public_functions()])
def test_every_public_function_says_what_it_takes_and_gives(function):
    signature = inspect.signature(function)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    assert [parameter.name for parameter in parameters if parameter.annotation is parameter.empty] == []
    assert signature.return_annotation is not signature.empty or function.__name__ == "__init__"


def test_the_package_says_that_it_is_typed():
    assert files("parametric_umap").joinpath("py.typed").is_file()
