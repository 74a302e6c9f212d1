# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo toy giftune-demo test check docs format clean

demo: .venv/ready  ## Draw some GIFs, curate them, say where to look.
	$(BIN)/python examples/draw_gifs.py demo
	$(BIN)/pix2gif-curate demo/listing.tsv --out demo/shards

toy: .venv/ready  ## Draw a toy world, train small models on it, measure whether they move things as they are told.
	$(BIN)/python -m examples.toy_world --out toy

giftune-demo: .venv/ready  ## Train a small text-to-image model, tune it on one drawn GIF, measure what comes of it.
	$(BIN)/python -m examples.giftune_demo --out giftune-demo

test: .venv/ready  ## Run the whole suite, but for what is marked slow or needs a GPU.
	$(BIN)/python -m pytest -m "not docs and not slow and not gpu" -n 2 --dist loadfile

check: .venv/ready  ## Format, lint, types, laws of import, the commands in README and docs, the site.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m docs -n 2 --dist loadgroup

docs: .venv/ready  ## Build the site into build/site; a warning ends the build.
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -c docs -d build/doctrees . build/site

format: .venv/ready  ## Format and mend what a machine can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,train,app,docs]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info
