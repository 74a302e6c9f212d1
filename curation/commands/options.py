"""Options that stand for a field of the curation config."""

from typing import Any

import typer

from curation.config import CurationConfig

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
