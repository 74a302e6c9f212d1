"""Helpers: pages of README and docs, their fenced blocks and commands, and the options of the program."""

import re
from pathlib import Path

import typer

import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return (language, text) of each fenced block; language is empty if there is none."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> tuple[str, ...]:
    """Return the commands of a page in order; a backslash joins lines."""
    texts = [re.sub(r"\s*\\\n\s*", " ", text) for language, text in blocks(page) if language == "console"]
    lines = [line for text in texts for line in text.splitlines()]
    return tuple(line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def list_options() -> dict[str, set[str]]:
    """Return the option names of every command, such as `pix2gif evaluate fvd`."""
    found: dict[str, set[str]] = {}

    def visit(name: str, command) -> None:
        below = getattr(command, "commands", {})
        for word, each in below.items():
            visit(f"{name} {word}", each)
        if not below:
            names = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
            found[name] = {name for name in names if name.startswith("-")}

    visit("pix2gif", typer.main.get_command(cli.app))
    return found
