"""Options that several commands of `pix2gif evaluate` share, and the parsers of their values."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from training.commands.options import Device, Precision
from training.evaluation import config
from training.evaluation.errors import EvaluationError
from training.runtime.config_fields import EVALUATION_MOTIONS_PX
from training.runtime.config_fields import Precision as PrecisionName

if TYPE_CHECKING:
    from training.evaluation.tables.runs import Methods

Out = Annotated[Path | None, typer.Option(help="JSON file for the result, its configuration, versions and hashes.")]
Sources = Annotated[
    Path | None,
    typer.Option(help="Folder of the sources: image KEY.png or clip KEY. Without it, each clip's first frame."),
]


def join_numbers(numbers: Sequence[float]) -> str:
    """Format numbers as the value of an option: 2,4,6.5."""
    return ",".join(f"{number:g}" for number in numbers)


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Parse `2,4,6.5`. Raises EvaluationError that names the option."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise EvaluationError(f"{option} is {text!r}; separate numbers with commas, such as 2,4,8") from error


def parse_methods(models: Sequence[str] | None, frames: Sequence[str] | None) -> tuple[dict[str, str], dict[str, Path]]:
    """Parse `NAME=LOCATION` of models and of frames; without NAME, the last part of the location is the name.

    Raises EvaluationError if two methods have the same name, or if a name cannot be the name of a folder.
    """
    parsed: list[dict[str, str]] = [{}, {}]
    for locations, values in zip(parsed, (models or [], frames or []), strict=True):
        for value in values:
            name, equals, location = value.partition("=")
            name, location = (name, location) if equals else (Path(value).name, value)
            if not name or not location or "/" in name or name.startswith("."):
                raise EvaluationError(f"{value!r} must be NAME=LOCATION, with a simple name such as full=run/model")
            if name in parsed[0] or name in parsed[1]:
                raise EvaluationError(f"two methods are named {name}; give them names, as in one={location} two=...")
            locations[name] = location
    return parsed[0], {name: Path(location) for name, location in parsed[1].items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options of all tables."""

    out: Annotated[Path, typer.Option(help="Folder for results and cache. The same command continues a stopped run.")]
    model: Annotated[
        list[str] | None,
        typer.Option(help="NAME=DIR or DIR: a run, a pipeline or a hub repository; repeatable."),
    ] = None
    frames: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER or FOLDER: clips of another model, as the docs describe; repeatable."),
    ] = None
    motion: Annotated[str, typer.Option(help="Motion of each frame, in pixels at the frames' size.")] = join_numbers(
        EVALUATION_MOTIONS_PX
    )
    steps: Annotated[int, typer.Option(help="Steps of the sampler.")] = 100
    text_guidance: Annotated[float, typer.Option(help="Text guidance scale s_T.")] = 7.5
    seed: Annotated[int, typer.Option(help="Seed of the drawn clips and of the noise.")] = 1371
    noise: Annotated[str, typer.Option(help="shared by all frames, or frame: each has its own.")] = "shared"
    batch: Annotated[
        int | None,
        typer.Option(help="Frames that a model generates at once.", show_default="all of a clip"),
    ] = None
    precision: Precision = "no"
    device: Device = None

    def make_methods(self) -> "Methods":
        """Return the methods to compare. Raises EvaluationError if there are none, or for bad names."""
        from training.evaluation.tables.runs import Methods

        models, frames = parse_methods(self.model, self.frames)
        return Methods(out=self.out, models=models, frames=frames, device=self.device, batch=self.batch)

    def make_sampling(self, **fields: float) -> config.SamplingConfig:
        """Return the sampling configuration. Raises EvaluationError for bad values."""
        return config.SamplingConfig(
            motion_px=parse_numbers(self.motion, "--motion"),
            num_inference_steps=self.steps,
            text_guidance=self.text_guidance,
            seed=self.seed,
            noise=cast(config.Noise, self.noise),
            precision=cast(PrecisionName, self.precision),
            **fields,
        )
