"""The examples of the README and of the estimator's docstring run as they stand."""

import doctest
import re
from pathlib import Path

from parametric_umap import estimator

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


def test_the_files_that_the_readme_links_to_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
