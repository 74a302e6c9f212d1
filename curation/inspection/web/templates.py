"""Templates, style sheets and scripts of this package -> text that goes into a page, with nothing to fetch."""

import base64
import functools
import hashlib
import importlib.resources
import json
from typing import Any

import jinja2
import markupsafe

from curation.inspection.web.number_format import in_percent, in_time, in_units


@functools.cache
def load_template(name: str) -> jinja2.Template:
    """Compile a template, named from this package's folder on; an unknown name in it raises."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("curation.inspection", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda number: f"{number:,}",
        "counted": lambda number, noun: f"{number:,} {noun}{'' if number == 1 else 's'}",
        "in_units": in_units,
        "in_time": in_time,
        "as_json": lambda value: json.dumps(value, ensure_ascii=False, default=str),
        "data_uri": lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}",
    }
    environment.globals |= {"in_percent": in_percent}
    return environment.get_template(name)


def read_script(*names: str) -> markupsafe.Markup:
    """Read scripts of this package, to stand in a page one after the other."""
    folder = importlib.resources.files("curation.inspection")
    return markupsafe.Markup("\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names))  # noqa: S704  # Our own files.


def allow_script(script: str) -> str:
    """Name a script to a Content-Security-Policy, so that a page runs it and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"


def embed_json(value: Any) -> markupsafe.Markup:
    """Write a value as JSON that cannot end the script element it stands in, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)  # noqa: S704  # What could end the element was replaced.
