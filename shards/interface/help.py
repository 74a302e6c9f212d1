"""Help texts in plain lines: options in groups, the everyday ones first, and summaries that are not cut."""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_EVERYDAY = "Options"
_SUMMARY_CHARS = 200
_WORDED_DEFAULT = re.compile(r"\[default: \(([^()]*)\)")
"""typer puts a default in words into parentheses."""


class GroupedCommand(TyperCommand):
    """A command whose help lists its options by their `rich_help_panel`, in the order in which groups begin."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group; options without one come first."""
        arguments: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {_EVERYDAY: []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                panel = getattr(param, "rich_help_panel", None) or _EVERYDAY
                is_argument = param.param_type_name == "argument"
                name, text = record
                text = _WORDED_DEFAULT.sub(r"[default: \1", text)
                (arguments if is_argument else groups.setdefault(panel, [])).append((name, text))
        for section, records in {"Arguments": arguments, **groups}.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)


class PlainGroup(TyperGroup):
    """A group of commands whose summaries are not cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the name and the first sentence of each command."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        records = [(name, command.get_short_help_str(_SUMMARY_CHARS)) for name, command in commands if command]
        if records:
            with formatter.section("Commands"):
                formatter.write_dl(records)
