"""What an import costs, and what the package needs."""

import subprocess
import sys
from importlib.metadata import packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What scikit-learn and torch import of their own accord is not ours: pandas, for one, where it is installed.
OF_OTHERS = "import sklearn.manifold, sklearn.neighbors, torch"
COMPILERS = {"numba", "llvmlite", "pynndescent", "torch._dynamo", "torch._inductor"}
ONLY_WHERE_USED = {"matplotlib", "pandas", "polars", "umap", "onnx", "onnxscript", "safetensors", "torch.optim"}

MAP_OF_IRIS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from sklearn.datasets import load_iris
from parametric_umap import ParametricUMAP
quick = dict(init_epochs=1, n_epochs=1, batches_per_epoch=2, hidden_layer_sizes=(8,))
X = load_iris().data
umap = ParametricUMAP(metric="canberra", **quick).fit(X)
print(umap.transform(X).shape)
for write in (umap.save, ParametricUMAP.load, umap.to_onnx):
    try:
        write("iris")
    except ImportError as error:
        print(error)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300).stdout


def test_a_bare_import_loads_nothing_heavy():
    before, after = (
        set(run(f"{statement}, sys; print(*sys.modules)").split())
        for statement in (OF_OTHERS, f"{OF_OTHERS}, parametric_umap")
    )
    assert "parametric_umap" in after
    assert (after - before) & (COMPILERS | ONLY_WHERE_USED) == set()


def test_a_map_needs_no_extra():
    extras = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, requires("torch-parametric-umap"))
        if requirement.marker is not None
    }
    optional = {
        module
        for module, distributions in packages_distributions().items()
        if extras & {canonicalize_name(distribution) for distribution in distributions}
    } - {"parametric_umap"}
    assert {"matplotlib", "safetensors", "onnx", "pandas", "umap"} <= optional
    assert run(f"OPTIONAL = {optional}\n{MAP_OF_IRIS}").splitlines() == [
        "(150, 2)",
        "save, load and checkpoint need safetensors: pip install 'torch-parametric-umap[save]'.",
        "save, load and checkpoint need safetensors: pip install 'torch-parametric-umap[save]'.",
        "to_onnx needs onnx and onnxscript: pip install 'torch-parametric-umap[onnx]'.",
    ]
