"""What the commands of `pix2gif evaluate` share: options, and how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from training.evaluation.errors import EvaluationError

Out = Annotated[
    Path | None, typer.Option(help="A JSON file for the result, with config, versions and weights' hashes.")
]
TableOut = Annotated[Path, typer.Option(help="The folder for table, result and work. The same command goes on there.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; found by itself.")]
Sources = Annotated[
    Path | None,
    typer.Option(help="Folder of the sources, KEY.png or clip KEY; without it, each clip's first frame is the source."),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="NAME=DIR or DIR: a pipeline's folder or hub name; repeatable.")
]
OthersFrames = Annotated[
    list[str] | None,
    typer.Option(
        "--frames", help="NAME=FOLDER or FOLDER: clips of another model, laid out as the docs tell; repeatable."
    ),
]
Steps = Annotated[int, typer.Option(help="Steps of the sampler.")]
TextGuidance = Annotated[float, typer.Option(help="s_T.")]
Seed = Annotated[int, typer.Option(help="Of the draw of clips and of the noise.")]
Batch = Annotated[int | None, typer.Option(help="Frames that a model makes at once.  [default: all of a clip]")]
Precision = Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")]
Shards = Annotated[Path, typer.Argument(help="A finished data set with a val split.")]
NumPairs = Annotated[int, typer.Option("--num-pairs", help="Pairs of the val split that are drawn.")]
Resolution = Annotated[
    int | None, typer.Option(help="Side in pixels that pictures are resized to.  [default: as they are]")
]


def join_numbers(numbers: Sequence[float]) -> str:
    """Write numbers as an option has them: 2,4,6.5."""
    return ",".join(f"{number:g}" for number in numbers)


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Read `2,4,6.5`. Raises EvaluationError, naming the option, for anything else."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise EvaluationError(f"{option} is {text!r}; write numbers with commas between, such as 2,4,8") from error


def parse_names(models: Sequence[str] | None, frames: Sequence[str] | None) -> tuple[dict[str, str], dict[str, Path]]:
    """Read `NAME=PLACE` of models and of frames; a place alone is named by its last part.

    Raises EvaluationError where two have one name, or a name cannot be a folder's.
    """
    named: list[dict[str, str]] = [{}, {}]
    for places, given in zip(named, (models or [], frames or []), strict=True):
        for text in given:
            name, equals, place = text.partition("=")
            name, place = (name, place) if equals else (Path(text).name, text)
            if not name or not place or "/" in name or name.startswith("."):
                raise EvaluationError(f"{text!r} must be NAME=PLACE, with a plain name such as full=run/model")
            if name in named[0] or name in named[1]:
                raise EvaluationError(f"two methods are named {name}; name them apart, as one={place} two=...")
            places[name] = place
    return named[0], {name: Path(place) for name, place in named[1].items()}
