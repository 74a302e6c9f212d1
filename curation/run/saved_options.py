"""OUT/.work/run.json: how the run was asked for, kept until nothing of it is left to try again."""

import dataclasses
import json
from typing import Any

from curation.config import CurationConfig
from curation.errors import CurationError
from curation.options import FetchOptions, RunOptions
from shards.atomic import write_atomically
from shards.location import Location
from shards.schema import Verdict

RETRIED = (Verdict.FETCH_FAILED, Verdict.TIMED_OUT, Verdict.CRASHED)
"""Verdicts that another try may change."""
_NAME = "run.json"


def save_options(work: Location, options: RunOptions, config: CurationConfig) -> None:
    """Keep what was asked for in the work folder of a run."""
    record = {"options": dataclasses.asdict(options), "config": dataclasses.asdict(config)}
    with write_atomically(work / _NAME) as temporary:
        temporary.write_text(json.dumps(record, default=str, indent=1), encoding="utf-8")


def load_options(work: Location) -> tuple[RunOptions, CurationConfig] | None:
    """Read what was asked for; None where nothing, or nothing that this version understands, is kept."""
    try:
        record: dict[str, Any] = json.loads((work / _NAME).read_text(encoding="utf-8"))
        options = record["options"]
        fetch = FetchOptions(**options.pop("fetch"))
        return RunOptions(fetch=fetch, **options), CurationConfig(**record["config"])
    except (OSError, ValueError, KeyError, TypeError, CurationError):
        return None


def forget_options(work: Location, verdicts: dict[str, int]) -> None:
    """Forget what was asked for, where every row of the finished run has a verdict that stays."""
    if not any(verdicts.get(verdict) for verdict in RETRIED):
        (work / _NAME).unlink(missing_ok=True)
