# On a fresh machine: `make demo` and `make test`. Needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
BIN := .venv/bin

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo train-demo toy giftune-demo test gpu-check check docs format clean

demo: .venv/curation  ## Draw some GIFs, curate them, print where the report is.
	$(BIN)/python examples/draw_demo.py demo
	$(BIN)/pix2gif-curate demo/listing.tsv --out demo/shards

train-demo: .venv/train demo  ## Train a tiny model on the demo's GIFs for 20 steps and generate a GIF.
	$(BIN)/pix2gif-curate demo/listing.tsv --resolution 128 --out demo/small
	$(BIN)/pix2gif train demo/small --preset tiny --max-steps 20 --out demo/run
	$(BIN)/pix2gif generate demo/gifs/car.gif "a red car drives along a country road." --model demo/run \
		--motion 2,8,14,19 --steps 4 --size 128 --out demo/first.gif --sheet demo/why.png

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

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/curation: pyproject.toml constraints.txt | .venv/bin/python  # What curation needs, and no more.
	$(INSTALL) .
	touch $@

.venv/train: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[train]'
	touch $@ .venv/curation

.venv/ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[dev,train,app,docs]'
	touch $@ .venv/train .venv/curation

clean:
	rm -rf .venv demo build *.egg-info
