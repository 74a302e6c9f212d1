"""Options of `pix2gif curate`, each with its default in the help, in groups. None means not given."""

from typing import Any

import typer

from curation.config import CurationConfig
from curation.options import FetchOptions

DEFAULTS = CurationConfig()
EVERYDAY = "Options"
"""The first group: what most runs set."""


def config_option(field: str, help_text: str, *names: str, panel: str = "Selection", default: str | None = None) -> Any:
    """Make an option for a field of CurationConfig. `default` words a default that its value does not explain."""
    return _make_option(field, help_text, default or str(getattr(DEFAULTS, field)), panel, *names)


def fetch_option(field: str, help_text: str, *, default: str | None = None) -> Any:
    """Make an option for a field of FetchOptions. `default` words a default that its value does not explain."""
    value = getattr(FetchOptions(), field)
    text = default or (f"{value:g}" if isinstance(value, float) else str(value))
    return _make_option(field, help_text, text, "Fetching")


def run_option(name: str, help_text: str, *, default: str = "", panel: str = "Running") -> Any:
    """Make an option whose default is no value, worded by `default`, or that has none."""
    return _make_option(name, help_text, default, panel, name)


def _make_option(field: str, help_text: str, default: str, panel: str, *names: str) -> Any:
    return typer.Option(
        *names or [f"--{field.replace('_', '-')}"],
        help=f"{help_text}  [default: {default}]" if default else help_text,
        show_default=False,
        rich_help_panel=panel,
    )
