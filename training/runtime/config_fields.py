"""Types, checks and TOML files that the configs of several rooms share. Imports nothing heavy."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from shards.interface.config_values import describe_allowed, read_toml
from training.errors import TrainingError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

EVALUATION_MOTIONS_PX = (2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 19.0)
"""Motions of the paper's ablations, in pixels at 256 x 256 (Pix2Gif, section 4.3); also the default elsewhere."""

Precision = Literal["no", "bf16", "fp16"]
"""Precision of matrix products; `no` is float32."""

RandomSize = Literal["tiny", "sd15"]
"""Size of a model with random weights: tiny for tests, sd15 for measuring."""


def check_field(config: object, name: str, holds: bool, allowed: str) -> None:
    """Raise TrainingError with the field's name, its value and the allowed values, unless `holds`."""
    if not holds:
        raise TrainingError(f"{name} is {getattr(config, name)!r}; it must be {allowed}")


def make_preset(presets: Mapping[str, Callable[[], Config]], name: str) -> Config:
    """Return the config of a preset. Raises TrainingError for an unknown name."""
    if name not in presets:
        raise TrainingError(f"there is no preset {name!r}; there are {', '.join(presets)}")
    return presets[name]()


def replace_fields(config: Config, values: Mapping[str, Any], source: str) -> Config:
    """Return the config with `values` in place of its own.

    Raises TrainingError for unknown fields and for values of the wrong type; it names `source`, where they are from.
    """
    allowed = {field.name for field in dataclasses.fields(config)}
    if unknown := sorted(values.keys() - allowed):
        raise TrainingError(f"{source}: no parameter is called {unknown[0]!r}; there are {', '.join(sorted(allowed))}")
    for field in dataclasses.fields(config):
        if field.name in values and (right := describe_allowed(values[field.name], field.type)):
            raise TrainingError(f"{source}: {field.name} is {values[field.name]!r}; it must be {right}")
    try:
        return dataclasses.replace(config, **values)
    except TypeError as error:
        raise TrainingError(f"{source}: {error}") from error


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the fields of a TOML file, with `_` for `-` in their names. Raises TrainingError if it is unreadable."""
    try:
        return read_toml(path)
    except ValueError as error:
        raise TrainingError(str(error)) from error
