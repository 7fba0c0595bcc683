"""The examples of the pages give what they say, as they stand; those of the gallery run when the pages are built."""

import doctest
from pathlib import Path

import pytest

from parametric_umap import defaults

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    page for folder in (DOCS, DOCS / "guide") for page in sorted(folder.glob("*.rst")) if ">>>" in page.read_text()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_give_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(defaults, "MOST_BATCHES", 120)  # there are some forty fits
    results = doctest.testfile(str(page), module_relative=False)
    assert results.attempted > 0
    assert results.failed == 0


def test_every_page_of_the_guide_is_in_its_table_of_contents():
    contents = (DOCS / "guide" / "index.rst").read_text().split()
    assert {page.stem for page in (DOCS / "guide").glob("*.rst")} - {"index"} <= set(contents)
