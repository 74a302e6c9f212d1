"""What the motion histogram shall look like: flat, as a plain draw leaves it, or like a histogram from a file.

A target is kept in the config as text, `FROM:WEIGHT,FROM:WEIGHT,...,TO`, so that a data set's manifest holds all that
its selection hangs on and not the name of a file.
"""

import bisect
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path

from curation.errors import ConfigError

BALANCES = ("flat", "none")
_ALLOWED = "flat, none, or a JSON file with bin_edges (whole pixels, ascending) and counts (0 or more, one a bin)"
_UNWANTED = 1e-12
"""Of the least positive weight: what a bin of weight 0 gets, so that it is filled by clips that have nothing else."""


def read_balance(value: str) -> str:
    """Take `flat` or `none` as it is, and anything else as the name of a file with a target histogram.

    The file is JSON, an object with `bin_edges` and `counts` as a manifest's motion_histogram has, so that one data
    set's can be the target of another. Returns the text that the config keeps. Raises ConfigError.
    """
    path = Path(value)
    if value in BALANCES or (":" in value and not path.exists()):
        return value
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"balance is {value!r}; it must be {_ALLOWED}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}; it must hold bin_edges and counts") from None
    try:
        edges, counts = list(fields["bin_edges"]), [float(count) for count in fields["counts"]]
        if len(edges) != len(counts) + 1 or any(edge != int(edge) for edge in edges):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{path}: no target; it must hold bin_edges, whole pixels, and a count for each bin"
        ) from None
    bins = [f"{int(edge)}:{str(count).removesuffix('.0')}" for edge, count in zip(edges[:-1], counts, strict=True)]
    text = ",".join([*bins, str(int(edges[-1]))])
    check_balance(text)
    return text


def check_balance(balance: str) -> None:
    """Raise ConfigError for what is neither `flat`, nor `none`, nor a target as the config keeps it."""
    if balance not in BALANCES:
        _parse_target(balance)


def compute_bin_weights(balance: str, bins: Iterable[int]) -> tuple[float, ...] | None:
    """Give each unit-wide bin its share of the target, positive; None where the target is flat.

    `bins` are where bins begin, in pixels. A bin of the target that is several pixels wide shares its weight among
    them; outside the target's bins the weight is 0, as it may be inside: such pairs are taken of clips alone that
    have too few others.
    """
    if balance == "flat":
        return None
    edges, weights = _parse_target(balance)
    shares = []
    for low in bins:
        place = bisect.bisect_right(edges, low) - 1
        inside = 0 <= place < len(weights)
        shares.append(weights[place] / (edges[place + 1] - edges[place]) if inside else 0.0)
    wanted = [share for share in shares if share]
    # Where nothing that is there is wanted, all of it is wanted alike.
    return tuple(share or _UNWANTED * min(wanted) for share in shares) if wanted else None


def describe_balance(balance: str) -> str:
    """Say in words what a balance asks for."""
    words = {"flat": "as flat as the caps allow", "none": "as a plain draw leaves it"}
    return words.get(balance, "as near the given histogram as the caps allow")


def _parse_target(text: str) -> tuple[list[int], list[float]]:
    try:
        *bins, last = text.split(",")
        pairs = [one.split(":") for one in bins]
        edges = [*(int(edge) for edge, _ in pairs), int(last)]
        weights = [float(weight) for _, weight in pairs]
        sound = all(0 <= weight < math.inf for weight in weights) and any(weights)
        if not sound or any(low >= high for low, high in itertools.pairwise(edges)):
            raise ValueError
    except ValueError:
        raise ConfigError(f"balance is {text!r}; it must be {_ALLOWED}") from None
    return edges, weights
