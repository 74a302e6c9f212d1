"""Tests; `make test` runs them in two processes, so each computes on one thread, and so do its subprocesses."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # Read when NumPy and torch are imported.
