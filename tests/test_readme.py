"""The examples of the README and of the estimator's docstring run as they stand."""

import doctest
import re
from pathlib import Path

from parametric_umap import estimator

README = Path(__file__).parents[1] / "README.md"


def test_the_docstrings_example_gives_what_it_says():
    results = doctest.testmod(estimator)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_example_runs_and_classifies_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names = {}
    exec(example, names)
    assert names["search"].score(names["X_test"], names["y_test"]) > 0.85
    assert names["Z"].shape == (450, 2)
    assert (tmp_path / "digits.joblib").exists()
