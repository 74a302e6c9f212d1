"""The docs site: `make docs` builds it into build/site, and any warning ends the build.

Pages are Markdown (MyST) wherever they lie: docs/, benchmarks/, CONTRIBUTING.md. The two references are made of the
program when the site is built: the commands by typer, the Python modules by autodoc.
"""

import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # The commands are made from cli.py as it lies here, wherever the site is built from.

project = "pix2gif"
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["docs/**", "benchmarks/*.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [path.name for path in ROOT.iterdir() if path.name not in ("docs", "benchmarks") and path.is_dir()]

html_theme = "furo"
html_title = "pix2gif"
html_extra_path = ["redirect"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
pygments_dark_style = "github-dark"

myst_heading_anchors = 3

smartquotes = False  # Two dashes are an option, not a dash.
default_role = "code"  # A docstring's single backticks are code.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88


class Commands(SphinxDirective):
    """`{commands} pix2gif`: every command with every option, as typer tells them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections of the commands."""
        words = [sys.executable, "-m", "typer", str(ROOT / "cli.py"), "utils", "docs", "--name", self.arguments[0]]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout  # noqa: S603 # typer's own.
        _, _, sections = told.partition("\n## ")
        text = re.sub("^Example: (.*)$", r"Example: `\1`", "## " + sections, flags=re.MULTILINE)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Modules(SphinxDirective):
    """`{modules} curation`: the documented contents of every module that lies in a package itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a section for each module."""
        package = import_module(self.arguments[0])
        names = [found.name for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
        lines = []
        for name in names:
            if not name.endswith("__main__") and not hasattr(import_module(name), "__path__"):
                lines += [f"## {name}", "", "```{eval-rst}", f".. automodule:: {name}", "```", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> None:
    """Register the two references."""
    app.add_directive("commands", Commands)
    app.add_directive("modules", Modules)
