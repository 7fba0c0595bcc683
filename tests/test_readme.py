"""The examples of the README, of the guide and of the estimator's docstring run as they stand."""

import doctest
import re
from pathlib import Path

import numpy as np

from parametric_umap import estimator, fitting

ROOT = Path(__file__).parents[1]


def run_examples(page):
    """Run the Python blocks of a page, one after another, and return what they define."""
    names = {"__name__": page}
    for example in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL):
        exec(compile(example, page, "exec"), names)
    return names


def test_the_docstrings_example_gives_what_it_says():
    results = doctest.testmod(estimator)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_example_runs_and_classifies_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples("README.md")
    assert names["search"].score(names["X_test"], names["y_test"]) > 0.85
    assert names["Z"].shape == (450, 2)
    assert (tmp_path / "digits.joblib").exists()


def test_the_guide_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "MAIN_BATCHES", (120, 120))  # there are 20 fits
    names = run_examples("docs/guide.md")

    def accuracy(umap):
        fitted, new = umap.transform(names["X_train"]), umap.transform(names["X_new"])
        return names["knn_accuracy"](fitted, names["y_train"], new, names["y_new"])

    assert accuracy(names["supervised"]) > 0.8
    assert accuracy(names["plain"]) > 0.8
    assert names["images"].shape == (2, 8, 8)
    assert names["points"].shape == (1200, 3)
    new = names["X_new"]
    np.testing.assert_allclose(np.linalg.norm(names["points"], axis=1), 1, atol=1e-5)
    assert np.median(names["umap"].novelty_score(16 - new)) > 1.5 * np.median(names["umap"].novelty_score(new))
    assert {file.name for file in tmp_path.iterdir()} >= {"digits.safetensors", "digits.onnx"}
