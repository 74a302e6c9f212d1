"""Typer commands whose options are declared as a dataclass, for the commands of curation and of training."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def with_options(group: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option to a Typer command for each field of the dataclass `group`.

    A field is annotated like a Typer parameter; a field without a default is required. The command receives the
    instance as its parameter `options`.
    """
    types = get_type_hints(group, include_extras=True)
    fields = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=types[field.name],
        )
        for field in dataclasses.fields(group)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            values = {field.name: arguments.pop(field.name) for field in fields}
            command(**arguments, options=group(**values))

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]
        run.__signature__ = signature.replace(parameters=[*own, *fields])  # type: ignore[attr-defined]
        return run

    return decorate
