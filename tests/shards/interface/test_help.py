"""Help texts: options in groups, everyday ones first, summaries whole, no default in brackets of its own."""

import re

import pytest
from typer.testing import CliRunner

import cli


def read_help(*words):
    shown = CliRunner().invoke(cli.app, [*words, "--help"], terminal_width=100)
    assert shown.exit_code == 0
    return shown.output


def test_summaries_of_commands_are_whole():
    text = read_help()
    assert "..." not in text.replace("[ARGS]...", "")
    assert "without writing anything." in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("curate", ["Options", "Input", "Selection", "Output", "Limits", "Fetching", "Running"]),
        ("train", ["Options", "Model", "Optimization", "Memory and speed", "Records"]),
    ],
)
def test_options_are_in_groups_the_everyday_ones_first(command, groups):
    text = read_help(command)
    assert re.findall(r"^([A-Z][a-z ]+):$", text, re.MULTILINE) == ["Arguments", *groups]
    assert text.index("--out") < text.index(f"{groups[1]}:")


def test_each_default_is_told_once_without_brackets():
    assert "default: (" not in read_help("curate")
