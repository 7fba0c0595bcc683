PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
SPHINX = $(VENV)/bin/sphinx-build -W --keep-going -d docs/_build/doctrees

.PHONY: demo test lint dist docs

demo: $(INSTALLED)
	$(VENV)/bin/python benchmarks/demo.py

# A test on each core, since the threads of several would wait for each other; numba, too, sets those of OpenMP.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n logical --dist worksteal

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

dist: $(INSTALLED)
	$(VENV)/bin/python -m build

# The pages, whose gallery runs, and then the examples in them; a warning is an error.
docs: $(INSTALLED)-docs
	$(SPHINX) -b html docs docs/_build/html
	$(SPHINX) -b doctest docs docs/_build/doctest

# One environment for all of the above.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

$(INSTALLED)-docs: $(INSTALLED)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@
