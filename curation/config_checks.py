"""Checks of configuration values, and the TOML file that they may come from."""

import tomllib
from pathlib import Path
from typing import Any

from curation.errors import ConfigError


def read_config_file(path: Path, allowed: set[str]) -> dict[str, Any]:
    """Read parameters by name from a TOML file. Raises ConfigError for a key that is not in `allowed`."""
    try:
        with path.open("rb") as file:
            values = {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(values) - allowed)
    if unknown:
        raise ConfigError(f"{path}: no parameter is called {unknown[0]!r}; there are {', '.join(sorted(allowed))}")
    return values


def check(config: object, name: str, holds: bool, allowed: str) -> None:
    """Raise ConfigError naming the field, its value and what is allowed, unless the condition holds."""
    if not holds:
        raise ConfigError(f"{name} is {getattr(config, name)!r}; it must be {allowed}")


def check_type(name: str, value: object, kind: Any) -> None:
    """Raise ConfigError unless the value is of the field's type; an integer is accepted where a float is expected."""
    expected: Any = {bool: bool, int: int, float: (int, float)}.get(kind, str)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, expected):
        words = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a word")
        raise ConfigError(f"{name} is {value!r}; it must be {words}")


def parse_host(text: str) -> tuple[str, int | None]:
    """Split `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`. Raises ValueError."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not a host")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        host, colon, port = text, "", ""
    else:
        host, colon, port = text.partition(":")
    if (
        not host
        or set(host) & set("/@?# ")
        or (colon and not port.isdecimal())
        or int(port or 1) not in range(1, 65536)
    ):
        raise ValueError(f"{text!r} is not a host")
    return host.lower(), int(port) if port else None
