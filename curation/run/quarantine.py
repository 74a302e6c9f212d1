"""OUT/quarantine/: each clip that crashed or timed out, as KEY.gif and KEY.json.

KEY.json holds the verdict, the last output of the decoder, the config, and the command that replays the failure.
"""

import dataclasses
import json
import re
from typing import Any

from curation.config import CurationConfig
from curation.errors import CurationError
from curation.run.sandbox import Failure
from shards.json_fields import load_json
from shards.schema import Verdict
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, list_files

QUARANTINE = "quarantine"
"""The folder's name in OUT."""
INCIDENT_NAME = re.compile(r"[a-z0-9_-]+-[0-9a-f]{16}\.(gif|json)")
"""Names of files in the folder: a clip's key and a suffix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Incident:
    """A clip that crashed or timed out."""

    clip_key: str
    sha256: str
    """SHA-256 of the clip's bytes."""
    failure: Failure
    config: CurationConfig
    frames: tuple[int, ...] | None = None
    """If it failed in export, the frames to be encoded; None if it failed in measuring."""


def quarantine(folder: Location, incident: Incident, data: bytes) -> None:
    """Write a clip's bytes and the record of its failure."""
    with write_atomically(folder / f"{incident.clip_key}.gif") as temporary:
        temporary.write_bytes(data)
    record = {
        "clip_key": incident.clip_key,
        "verdict": incident.failure.verdict,
        "detail": incident.failure.detail,
        "command": f"pix2gif replay {folder.parent} {incident.clip_key}",
        "sha256": incident.sha256,
        "frames": incident.frames,
        "config": dataclasses.asdict(incident.config),
        "error": incident.failure.error.splitlines(),
    }
    with write_atomically(folder / f"{incident.clip_key}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def find_incident(folder: Location, clip_key: str) -> Incident | None:
    """Return the record of a clip; None if there is none or it is damaged."""
    try:
        record: dict[str, Any] = load_json((folder / f"{clip_key}.json").read_text(encoding="utf-8"))
        failure = Failure(verdict=Verdict(record["verdict"]), detail=record["detail"], error="\n".join(record["error"]))
        return Incident(
            clip_key=clip_key,
            sha256=record["sha256"],
            failure=failure,
            config=CurationConfig(**record["config"]),
            frames=None if record["frames"] is None else tuple(record["frames"]),
        )
    except (OSError, ValueError, KeyError, TypeError, CurationError):
        return None


def list_incidents(folder: Location) -> list[str]:
    """Return the keys of all clips in quarantine."""
    return [path.stem for path in list_files(folder, "*.json")]


def remove_other_incidents(folder: Location, clip_keys: set[str]) -> None:
    """Remove all clips except these, and the folder if it is then empty. Files of others stay."""
    for path in list_files(folder, "*"):
        if path.stem not in clip_keys and INCIDENT_NAME.fullmatch(path.name):
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
