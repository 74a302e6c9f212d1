"""Code that travels with a model: the modules of a class, joined into one file that needs no package of this project.

diffusers loads a pipeline's class from `pipeline.py` in the model's folder, and that of a part from a file in the
part's folder. It copies single files out of the folder, so each file is complete.
"""

import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType

_PACKAGE = "training"
_HEADER = '''"""{title}

Part of a Pix2Gif model that diffusers loads with trust_remote_code=True. Written by pix2gif {version}.
SPDX-License-Identifier: Apache-2.0
"""
'''


def bundle_code(root: type, version: str) -> str:
    """Return the source of the module that defines a class and of all modules of this project that it imports.

    Dependencies come first. Comments and docstrings are kept.
    """
    modules = list(dict.fromkeys(_walk_imports(importlib.import_module(root.__module__))))
    plain: set[str] = set()
    named: defaultdict[str, set[str]] = defaultdict(set)
    bodies = []
    for module in modules:
        source = inspect.getsource(module)
        tree = ast.parse(source)
        dropped: set[int] = set()
        for number, node in enumerate(tree.body):
            is_docstring = number == 0 and ast.get_docstring(tree) is not None
            if is_docstring or isinstance(node, ast.Import | ast.ImportFrom):
                dropped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if isinstance(node, ast.Import):
                plain.add(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom) and not _is_ours(node):
                named[str(node.module)].update(ast.unparse(alias) for alias in node.names)
        lines = source.splitlines()
        bodies.append("\n".join(line for number, line in enumerate(lines, start=1) if number not in dropped).strip())
    title = (inspect.getdoc(root) or root.__name__).splitlines()[0]
    header = _HEADER.format(title=title, version=version)
    imports = [*sorted(plain), *(f"from {name} import {', '.join(sorted(named[name]))}" for name in sorted(named))]
    return "\n\n\n".join(["\n".join([header, *imports]), *filter(None, bodies)]) + "\n"


def _walk_imports(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules of this project that a module imports, directly or not, and last the module itself."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and _is_ours(node):
            yield from _walk_imports(importlib.import_module(str(node.module)))
    yield module


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == _PACKAGE
