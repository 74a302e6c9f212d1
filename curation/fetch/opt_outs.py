"""Opt-outs: what the headers of a response, or the robots.txt of its host, say against training on it.

X-Robots-Tag: noai                      for all agents
X-Robots-Tag: pix2gif-curate: noindex   for this one
TDM-Reservation: 1                      the W3C's TDM Reservation Protocol
"""

import dataclasses
import re
from collections.abc import Iterator

from multidict import CIMultiDictProxy

from curation.config import CurationConfig
from curation.fetch.errors import OptedOutError

AGENT = "pix2gif-curate"
"""The name under which a host may address this program."""
_RULES = ("noai", "noimageai", "noindex", "noimageindex", "none")
"""`none` is short for `noindex, nofollow`."""
_RULES_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_AGENT_NAME = re.compile(r"[\w*./+-]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptOutRules:
    """Which opt-outs are respected."""

    headers: bool = True
    """Respect headers. If not, an opt-out is recorded with the download."""
    robots: bool = False
    """Ask the robots.txt of each host first."""

    @classmethod
    def from_config(cls, config: CurationConfig) -> "OptOutRules":
        """Return the rules of a run."""
        return cls(headers=not config.ignore_opt_outs, robots=config.robots)

    def check(self, reason: str | None) -> None:
        """Raise OptedOutError with the reason, if there is one and it is respected."""
        if reason and self.headers:
            raise OptedOutError(reason)


def find_opt_out(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the header and the rule by which a response opts out, or None."""
    for value in headers.getall("X-Robots-Tag", []):
        for agent, rule in _parse_robots_tag(value):
            if rule in _RULES and agent in ("*", AGENT):
                return f"X-Robots-Tag: {rule}" if agent == "*" else f"X-Robots-Tag: {agent}: {rule}"
    if any(value.strip() == "1" for value in headers.getall("TDM-Reservation", [])):
        return "TDM-Reservation: 1"
    return None


def _parse_robots_tag(value: str) -> Iterator[tuple[str, str]]:
    """Yield the rules of a header, as (agent, rule) in lower case. An agent holds for all rules after it."""
    agent = "*"
    for part in value.lower().split(","):
        name, colon, rest = part.partition(":")
        name = name.strip()
        if not colon:
            yield agent, name
        elif name not in _RULES_WITH_VALUE and _AGENT_NAME.fullmatch(name):
            agent = name
            yield agent, rest.strip()
