"""Jinja templates and scripts of this package -> self-contained pages: nothing is fetched from the network."""

import base64
import functools
import hashlib
import importlib.resources
import json
from typing import Any

import jinja2
import markupsafe

from curation.inspection.web.number_format import format_bytes, format_duration, format_percent


@functools.cache
def load_template(name: str) -> jinja2.Template:
    """Compile a template by its path in curation/inspection. Rendering raises for an undefined variable."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("curation.inspection", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda number: f"{number:,}",
        "counted": lambda number, noun: f"{number:,} {noun}{'' if number == 1 else 's'}",
        "format_bytes": format_bytes,
        "format_duration": format_duration,
        "as_json": lambda value: json.dumps(value, ensure_ascii=False, default=str),
        "data_uri": lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}",
    }
    environment.globals |= {"format_percent": format_percent}
    return environment.get_template(name)


def read_scripts(*names: str) -> markupsafe.Markup:
    """Concatenate scripts of this package for one script element."""
    folder = importlib.resources.files("curation.inspection")
    return markupsafe.Markup("\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names))  # noqa: S704  # Our own files.


def csp_hash(script: str) -> str:
    """Return the Content-Security-Policy source that allows this inline script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"


def embed_json(value: Any) -> markupsafe.Markup:
    """Serialise a value as JSON for a script element. Escapes every character that could end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)  # noqa: S704  # Characters that could end the element are escaped.
