"""Options of commands that set a field of the configuration, with its default in the help."""

from typing import Any

import typer

from curation.config import CurationConfig
from curation.options import FetchOptions

DEFAULTS = CurationConfig()


def config_option(field: str, help_text: str, *names: str, panel: str = "Selection") -> Any:
    """Make an option for a field of CurationConfig. Its default is in the help; None means not given."""
    return _make_option(field, help_text, str(getattr(DEFAULTS, field)), panel, *names)


def fetch_option(field: str, help_text: str, *, default: str | None = None) -> Any:
    """Make an option for a field of FetchOptions. `default` describes a default that is no value."""
    value = getattr(FetchOptions(), field)
    text = default or (f"{value:g}" if isinstance(value, float) else str(value))
    return _make_option(field, help_text, text, "Fetching")


def listing_option(name: str, help_text: str, *, default: str) -> Any:
    """Make an option that says how the listing is read."""
    return _make_option(name, help_text, default, "Listing", name)


def _make_option(field: str, help_text: str, default: str, panel: str, *names: str) -> Any:
    return typer.Option(
        *names or [f"--{field.replace('_', '-')}"],
        help=f"{help_text}  [default: {default}]",
        show_default=False,
        rich_help_panel=panel,
    )
