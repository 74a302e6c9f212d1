"""OUT/.work/run.json: the options of a run, saved for `pix2gif retry` while clips are left to retry."""

import dataclasses
import json
from typing import Any

from curation.config import CurationConfig
from curation.errors import CurationError
from curation.options import FetchOptions, RunOptions
from shards.interface.credentials import redact
from shards.json_fields import load_json
from shards.schema import Verdict
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

RETRIED = (Verdict.FETCH_FAILED, Verdict.TIMED_OUT, Verdict.CRASHED)
"""Verdicts that a retry may change."""
_NAME = "run.json"


def save_options(work: Location, options: RunOptions, config: CurationConfig) -> None:
    """Save the options and the config of a run in its work folder, without the credentials of the listing's URL."""
    listing = str(options.listing) if config.keep_credentials else redact(str(options.listing))
    record = {"options": dataclasses.asdict(options) | {"listing": listing}, "config": dataclasses.asdict(config)}
    with write_atomically(work / _NAME) as temporary:
        temporary.touch()
        temporary.chmod(0o600)
        temporary.write_text(json.dumps(record, default=str, indent=1), encoding="utf-8")


def load_options(work: Location) -> tuple[RunOptions, CurationConfig] | None:
    """Return the saved options and config; None if there are none, or if this version cannot read them."""
    try:
        record: dict[str, Any] = load_json((work / _NAME).read_text(encoding="utf-8"))
        options = record["options"]
        fetch = FetchOptions(**options.pop("fetch"))
        return RunOptions(fetch=fetch, **options), CurationConfig(**record["config"])
    except (OSError, ValueError, KeyError, TypeError, CurationError):
        return None


def forget_options(work: Location, verdicts: dict[str, int]) -> None:
    """Remove the saved options if the finished run has no row left to retry. `verdicts`: rows by verdict."""
    if not any(verdicts.get(verdict) for verdict in RETRIED):
        (work / _NAME).unlink(missing_ok=True)
