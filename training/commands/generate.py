"""`pix2gif generate`: an image, a prompt and motion -> a GIF, a video or PNG frames; or many from a file of rows."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shards.interface.command_options import with_options
from training.commands.options import Device, Model, Precision
from training.generation.config import GenerationConfig, parse_size
from training.generation.errors import GenerationError
from training.generation.motions import parse_motion, ramp_motion
from training.model.config import TrainedOn

if TYPE_CHECKING:
    from training.generation.output_paths import OutputPaths
    from training.generation.requests import Request

_SUFFIXES = {"gif": ".gif", "mp4": ".mp4", "webp": ".webp", "png": ""}
_DEFAULTS = GenerationConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """The options that become a GenerationConfig, which checks them."""

    motion: Annotated[
        str | None,
        typer.Option(
            help="Magnitude of each frame, in pixels of the training pictures.",
            show_default=",".join(f"{value:g}" for value in _DEFAULTS.motion_px),
        ),
    ] = None
    frames: Annotated[
        int | None, typer.Option(help="Number of frames, with motion that rises evenly over the trained range.")
    ] = None
    loop: Annotated[str, typer.Option(help="none, or boomerang: forwards, then backwards.")] = _DEFAULTS.loop
    text_guidance: Annotated[float, typer.Option(help="Guidance scale of the prompt.")] = _DEFAULTS.text_guidance
    image_guidance: Annotated[float, typer.Option(help="Guidance scale of the image.")] = _DEFAULTS.image_guidance
    scheduler: Annotated[str, typer.Option(help="euler-a (Euler ancestral), dpm++ (DPM-Solver++) or lcm.")] = (
        _DEFAULTS.scheduler
    )
    steps: Annotated[
        int | None, typer.Option(help="Scheduler steps.", show_default="100 for euler-a, 20 for dpm++, 4 for lcm")
    ] = None
    lora: Annotated[
        str | None, typer.Option(help="A LoRA for Stable Diffusion 1.x, such as an LCM-LoRA: a file, folder or name.")
    ] = None
    lora_scale: Annotated[float, typer.Option(help="Factor of the LoRA's effect.")] = _DEFAULTS.lora_scale
    seed: Annotated[int, typer.Option(help="Seed of the noise; on one machine the same seed gives the same bytes.")] = (
        _DEFAULTS.seed
    )
    fps: Annotated[float, typer.Option(help="Frames per second, up to 50.")] = _DEFAULTS.fps
    size: Annotated[
        str | None,
        typer.Option(help="The shorter side, or WIDTHxHEIGHT.", show_default="that of the training pictures"),
    ] = None
    fit: Annotated[
        str,
        typer.Option(
            help="squash: generate at the size of the training pictures and resize back; crop or resize (stretch) "
            "the image: generate at --size, in multiples of 32."
        ),
    ] = _DEFAULTS.fit
    dither: Annotated[str, typer.Option(help="For GIFs: floyd-steinberg, ordered (does not flicker) or none.")] = (
        _DEFAULTS.dither
    )
    batch: Annotated[int | None, typer.Option(help="Frames per batch; fewer need less memory.", show_default="all")] = (
        None
    )
    precision: Precision = _DEFAULTS.precision

    def to_config(self, trained_on: TrainedOn) -> GenerationConfig:
        """Return the checked config, with the motion of `frames` from the trained range. Raises GenerationError."""
        if self.motion is not None and self.frames is not None:
            raise GenerationError("--motion and --frames exclude each other; name one of them")
        motion_px = _DEFAULTS.motion_px if self.motion is None else parse_motion(self.motion)
        values = dataclasses.asdict(self) | {
            "motion_px": motion_px if self.frames is None else ramp_motion(self.frames, trained_on),
            "num_inference_steps": self.steps,
            "size": None if self.size is None else parse_size(self.size),
        }
        return GenerationConfig(**{field.name: values[field.name] for field in dataclasses.fields(GenerationConfig)})


@with_options(GenerationOptions)
def generate(
    model: Model,
    out: Annotated[Path, typer.Option(help="A .gif, .mp4 or .webp file, or a folder of PNGs; with --from a folder.")],
    options: GenerationOptions,
    image: Annotated[Path | None, typer.Argument(help="The source image: PNG, JPEG, WebP and others.")] = None,
    prompt: Annotated[
        str | None, typer.Argument(help="What happens, in words, as TGIF's captions with a full stop: 'a cat dancing.'")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--from", help="A file of rows: IMAGE, tab, PROMPT, optional tab and MOTION; or .jsonl."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="With --from: gif, mp4, webp or png (a folder each).")
    ] = "gif",
    sheet: Annotated[
        Path | None, typer.Option(help="A PNG for the contact sheet of frames and flows; with --from a folder.")
    ] = None,
    device: Device = None,
) -> None:
    """Make a GIF from one image: one frame per motion magnitude, each generated from the image itself.

    Writes a record of all settings beside the GIF (cat.json). Run again, it skips outputs that are complete and were
    made from the same settings.

    Example: pix2gif generate cat.png "a cat dancing." --model run/model --out cat.gif
    """
    checked = options.to_config(TrainedOn())  # Before the model is loaded, which has its own range.
    if format_ not in _SUFFIXES:
        raise GenerationError(f"format is {format_}; it must be one of {', '.join(_SUFFIXES)}")
    if rows is not None and image is not None:
        raise GenerationError("an image and --from exclude each other; name an image and a prompt, or a file of rows")
    requests = _list_requests(image, prompt, rows, out, sheet, _SUFFIXES[format_])
    _generate(model, device, checked, options, requests, out)


def _list_requests(
    image: Path | None, prompt: str | None, rows: Path | None, out: Path, sheet: Path | None, suffix: str
) -> "list[tuple[Request, OutputPaths]]":
    """List requests and their output paths. A single request is checked here, before the model is loaded."""
    from training.generation.images import read_source
    from training.generation.output_paths import OutputPaths
    from training.generation.requests import Request, read_requests

    if rows is None:
        if image is None or prompt is None:
            raise GenerationError("the image or the prompt is missing; name both, or a file of rows with --from")
        request, paths = Request(image=image, prompt=prompt, name=image.name), OutputPaths(out=out, sheet=sheet)
        paths.check(image)
        read_source(image)
        return [(request, paths)]
    requests = []
    for request in read_requests(rows):
        sheet_path = None if sheet is None else sheet / f"{request.name}.png"
        requests.append((request, OutputPaths(out=out / f"{request.name}{suffix}", sheet=sheet_path)))
    return requests


def _generate(
    model: str,
    device: str | None,
    checked: GenerationConfig,
    options: GenerationOptions,
    requests: "list[tuple[Request, OutputPaths]]",
    out: Path,
) -> None:
    from training.generation.generate import load_generator
    from training.generation.run import run_request, run_requests
    from training.runtime.libraries import silence_libraries

    def print_note(note: str) -> None:
        typer.echo(f"Note: {note}", err=True)

    silence_libraries()
    generator = load_generator(model, device, checked.precision, lora=checked.lora, lora_scale=checked.lora_scale)
    config = options.to_config(generator.pipeline.trained_on)
    # None: draw a progress bar only on a terminal.
    generator.pipeline.set_progress_bar_config(disable=None)  # type: ignore[no-untyped-call]
    if len(requests) == 1:
        num_generated = int(run_request(generator, *requests[0], config, print_note))
    else:
        num_generated = run_requests(generator, requests, config, print_note, lambda line: typer.echo(line, err=True))
    num_skipped = len(requests) - num_generated
    skipped = f", {num_skipped} exist already" if num_skipped else ""
    typer.echo(f"{num_generated} generated{skipped}, on {generator.device}: {out}")
