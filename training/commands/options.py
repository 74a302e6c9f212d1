"""Options that several commands share."""

from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="The model: a run's folder or its RUN/model, or a hub repository OWNER/NAME.")]
Precision = Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")]
Device = Annotated[str | None, typer.Option(help="cuda, cuda:1, mps or cpu.", show_default="best available")]
