# On a fresh machine: `make demo` and `make test`. Needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo toy giftune-demo test gpu-check check docs format clean

demo: .venv/ready  ## Draw some GIFs, curate them, print where the report is.
	$(BIN)/python examples/draw_gifs.py demo
	$(BIN)/pix2gif-curate demo/listing.tsv --out demo/shards

toy: .venv/ready  ## Draw a toy world, train small models on it, measure the motion that they generate.
	$(BIN)/python -m examples.toy_world --out toy

giftune-demo: .venv/ready  ## Train a small text-to-image model, tune it on one drawn GIF, measure the samples.
	$(BIN)/python -m examples.giftune_demo --out giftune-demo

test: .venv/ready  ## Run the test suite, without tests that are slow or need a GPU.
	$(BIN)/python -m pytest -m "not docs and not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder

gpu-check: .venv/ready  ## With a GPU of 24 GB or more: kill and resume in each precision, measure each preset; write gpu-check.md.
	$(BIN)/python -m benchmarks.gpu_check --out gpu-check.md

check: .venv/ready  ## Check format, lint, types, import laws, the commands in README and docs, the site.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m docs -n 2 --dist loadgroup

docs: .venv/ready  ## Build the site into build/site; a warning fails the build.
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -c docs -d build/doctrees . build/site

format: .venv/ready  ## Format, and fix what ruff can fix.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,train,app,docs]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info
