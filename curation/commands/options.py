"""Options that stand for a field of the curation config, or of how GIFs are fetched."""

from typing import Any

import typer

from curation.config import CurationConfig
from curation.options import FetchOptions

DEFAULTS = CurationConfig()


def field_option(field: str, help_text: str, *names: str, panel: str) -> Any:
    """Make an option for a field of the config; its default is shown, and None means: not given."""
    default = getattr(DEFAULTS, field)
    return typer.Option(
        *names or [f"--{field.replace('_', '-')}"],
        help=f"{help_text}  [default: {default}]",
        show_default=False,
        rich_help_panel=panel,
    )


def fetch_option(field: str, help_text: str, *, default: str | None = None) -> Any:
    """Make an option for a field of the fetch options; `default` says in words what has no value."""
    shown = getattr(FetchOptions(), field) if default is None else default
    return typer.Option(
        f"--{field.replace('_', '-')}",
        help=f"{help_text}  [default: {shown:g}]" if isinstance(shown, float) else f"{help_text}  [default: {shown}]",
        show_default=False,
        rich_help_panel="Fetching",
    )
