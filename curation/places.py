"""Where the workers of a run write what they find."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Folders of one OUT."""

    flow: Path
    """Parts of the flow table."""
    slices: Path
    """Slices of giants, until they are joined."""
    quarantine: Path
