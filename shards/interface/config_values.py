"""Configuration values: read them from a TOML file, and check them against the types of a dataclass."""

import datetime
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

_TYPES: dict[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a string"),
}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; dashes in names become underscores.

    Raises ValueError with a sentence for the user if the file cannot be read or names one option twice.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise ValueError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name in values:
            raise ValueError(f"{path}: {name} is set twice, with dashes and with underscores; remove one of the lines")
        values[name] = value
    return values


def describe_allowed(value: object, kind: Any) -> str | None:
    """Return what is allowed in place of a value that is not of type `kind`; None if it is, or for other types.

    Checks bool, int, float, str, Path, Literal, and unions of one of these with None. An integer is a float; a string
    is a Path.
    """
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        # Of a union of paths, all members are written as a string.
        kind = next(member for member in typing.get_args(kind) if member is not types.NoneType)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        return None if value in choices else f"{', '.join(choices[:-1])} or {choices[-1]}"
    if kind is Path:
        is_other = isinstance(value, bool | int | float | list | dict | datetime.date | datetime.time)
        return "a path" if is_other or not str(value) else None
    if kind not in _TYPES:
        return None
    expected, description = _TYPES[kind]
    return None if isinstance(value, bool) == (kind is bool) and isinstance(value, expected) else description
