"""Run fuzzers by seed."""

import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from curation.fetch import rate_limits
from shards.storage import atomic, retry
from tests.fuzz import subjects
from tests.fuzz.answers import fuzz_answers
from tests.fuzz.forms import fuzz_forms

FUZZERS = {**subjects.FUZZERS, "answers": fuzz_answers, "forms": fuzz_forms}


def run_seeds(kind: str, seeds: Iterable[int]) -> None:
    """Run a fuzzer for each seed, without pauses between attempts. Raises AssertionError that names the seed."""
    with (
        mock.patch.object(retry, "FIRST_PAUSE_S", 0.001),
        mock.patch.object(rate_limits, "NO_RESPONSE_PAUSE_S", 0.001),
        mock.patch.object(rate_limits, "REFUSAL_PAUSE_S", 0.001),
        mock.patch.object(atomic, "_sync"),
        tempfile.TemporaryDirectory(prefix="pix2gif-") as folder,
    ):
        for seed in seeds:
            try:
                FUZZERS[kind](Path(folder), random.Random(f"{kind} {seed}"))  # noqa: S311 # Not for secrets.
            except BaseException as error:
                raise AssertionError(f"python -m tests.fuzz {kind} --seed {seed}: {error!r}"[:2000]) from error
