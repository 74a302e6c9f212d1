"""Options that several commands share, and commands whose options are declared as a dataclass."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

Model = Annotated[str, typer.Option(help="The model: RUN/model, or a hub repository OWNER/NAME.")]
Precision = Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")]
Device = Annotated[str | None, typer.Option(help="cuda, cuda:1, mps or cpu.", show_default="best available")]


def with_options(group: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option to a Typer command for each field of the dataclass `group`.

    A field is annotated like a Typer parameter. The command receives the instance as its parameter `options`.
    """
    types = get_type_hints(group, include_extras=True)
    fields = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name]
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
