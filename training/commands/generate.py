"""`pix2gif generate`: an image, a prompt and motion -> a GIF, a video or pictures; or many from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.generation.config import GenerationConfig, parse_size
from training.generation.errors import GenerationError
from training.generation.motions import parse_motion, ramp_motion

if TYPE_CHECKING:
    from training.generation.output_paths import OutputPaths
    from training.generation.requests import Request

_SUFFIXES = {"gif": ".gif", "mp4": ".mp4", "webp": ".webp", "png": ""}


def generate(
    model: Annotated[str, typer.Option(help="A model: the folder RUN/model, or the name of a hub repository.")],
    out: Annotated[Path, typer.Option(help=".gif, .mp4, .webp, or a folder for PNG frames; with --from a folder.")],
    image: Annotated[Path | None, typer.Argument(help="The source image: PNG, JPEG, WebP and others.")] = None,
    prompt: Annotated[str | None, typer.Argument(help="What happens, in words: 'a cat dancing'.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--from", help="Rows of IMAGE, tab, PROMPT and perhaps tab, MOTION; or .jsonl of the same."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="With --from: gif, mp4, webp or png (a folder each).")
    ] = "gif",
    motion: Annotated[
        str | None,
        typer.Option(
            help="One frame each, in pixels of a 256 x 256 picture, trained from 2 to 20: 2,4,6,8,11,14,17,19."
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="So many frames, their motion rising evenly from 2 to 20.")] = None,
    loop: Annotated[str, typer.Option(help="none, or boomerang: forwards, then backwards.")] = "none",
    sheet: Annotated[
        Path | None, typer.Option(help="Draw a PNG of the frames and the flow behind each; with --from a folder.")
    ] = None,
    text_guidance: Annotated[float, typer.Option(help="How strongly the prompt is followed.")] = 7.5,
    image_guidance: Annotated[float, typer.Option(help="How strongly the image is kept.")] = 1.8,
    scheduler: Annotated[str, typer.Option(help="euler-a (Euler ancestral) or dpm++ (DPM-Solver++).")] = "euler-a",
    steps: Annotated[int | None, typer.Option(help="Steps of the scheduler: 100 for euler-a, 20 for dpm++.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes on the same machine.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames shown in a second, at most 50.")] = 8.0,
    size: Annotated[str, typer.Option(help="The shorter side, or WIDTHxHEIGHT, in multiples of 32.")] = "256",
    fit: Annotated[str, typer.Option(help="crop what juts out, or resize, which stretches.")] = "crop",
    dither: Annotated[str, typer.Option(help="Of GIFs: floyd-steinberg, ordered (stands still) or none.")] = (
        "floyd-steinberg"
    ),
    batch: Annotated[
        int | None, typer.Option(help="Frames made at once, all unless named; fewer need less memory.")
    ] = None,
    precision: Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")] = "no",
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is unless named.")] = None,
) -> None:
    """Make a GIF of one image: a frame for each motion magnitude, each from the image itself.

    A record of all settings is written beside it (cat.json); run again, the command keeps what lies there whole.

    Example: pix2gif generate cat.png "a cat dancing" --model run/model --out cat.gif
    """
    if motion is not None and frames is not None:
        raise GenerationError("--motion and --frames exclude each other; name one of them")
    given: dict[str, Any] = {}
    if motion is not None or frames is not None:
        given["motion_px"] = parse_motion(motion) if motion is not None else ramp_motion(frames or 0)
    config = GenerationConfig(
        **given,
        loop=loop,  # type: ignore[arg-type]  # The config says what is allowed.
        scheduler=scheduler,  # type: ignore[arg-type]
        num_inference_steps=steps,
        text_guidance=text_guidance,
        image_guidance=image_guidance,
        seed=seed,
        size=parse_size(size),
        fit=fit,  # type: ignore[arg-type]
        fps=fps,
        dither=dither,  # type: ignore[arg-type]
        batch=batch,
        precision=precision,  # type: ignore[arg-type]
    )
    if format_ not in _SUFFIXES:
        raise GenerationError(f"format is {format_}; it must be one of {', '.join(_SUFFIXES)}")
    if rows is not None and image is not None:
        raise GenerationError("an image and --from exclude each other; name an image and a prompt, or a file of them")
    _generate(model, device, config, _list_work(image, prompt, rows, out, sheet, _SUFFIXES[format_]), out)


def _list_work(
    image: Path | None, prompt: str | None, rows: Path | None, out: Path, sheet: Path | None, suffix: str
) -> "list[tuple[Request, OutputPaths]]":
    """List what is to be made and where it goes; what is wrong with it is said before the model is loaded."""
    from training.generation.images import read_source
    from training.generation.output_paths import OutputPaths, check_output_paths
    from training.generation.requests import Request, read_requests

    if rows is None:
        if image is None or prompt is None:
            raise GenerationError("the image or the prompt is missing; name both, or a file of them with --from")
        request, places = Request(image=image, prompt=prompt, name=image.name), OutputPaths(out=out, sheet=sheet)
        check_output_paths(image, places)
        read_source(image)
        return [(request, places)]
    work = []
    for request in read_requests(rows):
        drawn = None if sheet is None else sheet / f"{request.name}.png"
        work.append((request, OutputPaths(out=out / f"{request.name}{suffix}", sheet=drawn)))
    return work


def _generate(
    model: str, device: str | None, config: GenerationConfig, work: "list[tuple[Request, OutputPaths]]", out: Path
) -> None:
    from training.generation.generate import load_generator
    from training.generation.run import make_many, make_one
    from training.runtime.libraries import quieten_libraries

    def note(sentence: str) -> None:
        typer.echo(f"Note: {sentence}", err=True)

    quieten_libraries()
    generator = load_generator(model, device, config.precision)
    # A bar is drawn on a terminal alone.
    generator.pipeline.set_progress_bar_config(disable=None)  # type: ignore[no-untyped-call]
    if len(work) == 1:
        num_made = int(make_one(generator, *work[0], config, note))
    else:
        num_made = make_many(generator, work, config, note, lambda line: typer.echo(line, err=True))
    kept = len(work) - num_made
    typer.echo(f"{num_made} made{f', {kept} lay there already' if kept else ''}, on {generator.device}: {out}")
