"""Where the workers of a run write what they find."""

import dataclasses

from shards.location import Location


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Folders of one OUT."""

    flow: Location
    """Parts of the flow table."""
    slices: Location
    """Slices of giants, until they are joined."""
    quarantine: Location
