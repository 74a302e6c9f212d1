"""Shape of the motion histogram: flat, none (random selection), or a target histogram from a file.

The config stores a target as text, `FROM:WEIGHT,FROM:WEIGHT,...,TO`, with bin edges in whole pixels. The manifest
therefore contains the target itself rather than a file name.
"""

import bisect
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

from curation.errors import ConfigError
from shards.json_fields import load_json

BALANCES = ("flat", "none")
_ALLOWED = "flat, none, or a JSON file with bin_edges (whole pixels, ascending) and counts (0 or more, one per bin)"
_EMPTY_BIN_SHARE = 1e-12
"""Weight of a bin outside the target, relative to the smallest positive one: it is filled only as a last resort."""


def read_balance(value: str) -> str:
    """Return `flat`, `none` or a target's text unchanged; else read a target histogram from the file of that name.

    The file is a JSON object with `bin_edges` and `counts`, like a manifest's motion_histogram, so one data set can be
    the target of another. Returns the text for the config. Raises ConfigError if the file is missing or invalid.
    """
    path = Path(value)
    if value in BALANCES or (":" in value and not path.exists()):
        return value
    try:
        fields = load_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"balance is {value!r}; it must be {_ALLOWED}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}; it must contain bin_edges and counts") from None
    try:
        edges, counts = list(fields["bin_edges"]), [float(count) for count in fields["counts"]]
        if len(edges) != len(counts) + 1 or any(edge != int(edge) for edge in edges):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{path} is not a target histogram; it must contain bin_edges in whole pixels and a count for each bin"
        ) from None
    bins = [f"{int(edge)}:{str(count).removesuffix('.0')}" for edge, count in zip(edges[:-1], counts, strict=True)]
    text = ",".join([*bins, str(int(edges[-1]))])
    check_balance(text)
    return text


def check_balance(balance: str) -> None:
    """Raise ConfigError unless a balance is `flat`, `none` or the text of a target."""
    if balance not in BALANCES:
        _parse_target(balance)


def compute_bin_weights(balance: str, bins: Iterable[int]) -> tuple[float, ...] | None:
    """Return the target weight of each 1 px wide bin, positive; None if all weights are equal.

    `bins` are the lower edges in pixels. A wider bin of the target divides its weight equally. A bin that is empty in
    the target or outside it gets a tiny weight, so it is filled only by clips without other pairs.
    """
    if balance == "flat":
        return None
    edges, weights = _parse_target(balance)
    densities = []
    for low in bins:
        index = bisect.bisect_right(edges, low) - 1
        is_inside = 0 <= index < len(weights)
        densities.append(weights[index] / (edges[index + 1] - edges[index]) if is_inside else 0.0)
    positive = [density for density in densities if density]
    return tuple(density or _EMPTY_BIN_SHARE * min(positive) for density in densities) if positive else None


def describe_balance(balance: str) -> str:
    """Describe a balance in words."""
    words = {"flat": "as flat as the caps allow", "none": "not balanced"}
    return words.get(balance, "as close to the target histogram as the caps allow")


def _parse_target(text: str) -> tuple[list[int], list[float]]:
    try:
        *bins, last = text.split(",")
        pairs = [bin_text.split(":") for bin_text in bins]
        edges = [*(int(edge) for edge, _ in pairs), int(last)]
        weights = [float(weight) for _, weight in pairs]
        is_valid = all(0 <= weight < math.inf for weight in weights) and any(weights)
        if not is_valid or any(low >= high for low, high in itertools.pairwise(edges)):
            raise ValueError
    except ValueError:
        raise ConfigError(f"balance is {text!r}; it must be {_ALLOWED}") from None
    return edges, weights
