"""Validate configuration values, and read them from a TOML file."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from curation.errors import ConfigError
from shards.interface.config_values import describe_allowed, read_toml

_MAX_PORT = 65535


def read_config_file(path: Path, allowed: set[str]) -> dict[str, Any]:
    """Read parameters from a TOML file, by name; dashes in names become underscores.

    Raises ConfigError if the file cannot be read or has a parameter that is not in `allowed`.
    """
    try:
        values = read_toml(path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if unknown := sorted(set(values) - allowed):
        raise ConfigError(f"{path}: unknown parameter {unknown[0]!r}; choose from {', '.join(sorted(allowed))}")
    return values


def check(config: object, name: str, is_valid: bool, allowed: str) -> None:
    """Raise ConfigError with the field's name, its value and what is allowed, unless `is_valid`."""
    if not is_valid:
        raise ConfigError(f"{name} is {getattr(config, name)!r}; it must be {allowed}")


def check_range(
    config: object, name: str, low: float, high: float = math.inf, unit: str = "", *, exclude_low: bool = False
) -> None:
    """Raise ConfigError unless a field is finite and between `low` and `high`, inclusive; None is allowed."""
    value = getattr(config, name)
    if value is None:
        return
    unit = f" {unit}" if unit else ""
    if exclude_low:
        allowed = f"more than {low}{unit}" + ("" if math.isinf(high) else f", up to {high:,}")
    else:
        allowed = f"{low}{unit} or more" if math.isinf(high) else f"from {low} to {high}{unit}"
    is_above_low = low < value if exclude_low else low <= value
    check(config, name, is_above_low and value <= high and value < math.inf, allowed)


def check_names(config: object, name: str) -> None:
    """Make a field a tuple of names, of a list or of text with commas. Raises ConfigError for anything else."""
    value = getattr(config, name)
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    is_valid = isinstance(names, list | tuple) and all(isinstance(each, str) and each for each in names)
    check(config, name, is_valid and len(set(names)) == len(names), "a list of different names")
    object.__setattr__(config, name, tuple(names))


def check_types(config: Any) -> None:
    """Raise ConfigError unless every field of a dataclass has its declared type; fields of other types are skipped.

    An integer is accepted for a float, and None for an optional field.
    """
    for field in dataclasses.fields(config):
        check_type(field.name, getattr(config, field.name), field.type)


def check_type(name: str, value: object, kind: Any) -> None:
    """Raise ConfigError unless a value has the type `kind`; other types than those of a config file are skipped."""
    if allowed := describe_allowed(value, kind):
        raise ConfigError(f"{name} is {value!r}; it must be {allowed}")


def parse_host(text: str) -> tuple[str, int | None]:
    """Parse `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT` into (host, port). Raises ValueError otherwise."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not a host")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        host, colon, port = text, "", ""
    else:
        host, colon, port = text.partition(":")
    is_valid_port = not colon or (port.isdecimal() and 1 <= int(port) <= _MAX_PORT)
    if not host or set(host) & set("/@?# ") or not is_valid_port:
        raise ValueError(f"{text!r} is not a host")
    return host.lower(), int(port) if port else None
