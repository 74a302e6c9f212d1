"""`pix2gif giftune`: one GIF and its caption -> a tuned model -> GIFs of other captions with the same motion."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ReadFrames = Callable[[str, int, int], "tuple[NDArray[np.uint8], NDArray[np.int32]]"]
"""Decodes a GIF: (location, resolution in pixels, most frames) -> frames [T, H, W, 3] and their durations [T]."""

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of `pix2gif giftune train`.")]
Checkpoint = Annotated[str, typer.Option(help="latest, or the path of a checkpoint.")]
Steps = Annotated[int | None, typer.Option(help="DDIM steps.", show_default="the run's, 50")]


def make_giftune_app(read_frames: ReadFrames) -> typer.Typer:
    """Make the commands; how a GIF is decoded is another room's, and comes from outside."""
    app = typer.Typer(
        name="giftune",
        help="Tune a text-to-image model on one GIF; then draw other captions with that GIF's motion.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )

    @app.command()
    def train(
        gif: Annotated[str, typer.Argument(help="A GIF.")],
        prompt: Annotated[str, typer.Argument(help="What it shows, in a few words.")],
        out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, metrics, validation GIFs.")],
        model: Annotated[
            str | None,
            typer.Option(help="Folder or hub name of a Stable Diffusion 1.x or 2.x.", show_default="the preset's"),
        ] = None,
        preset: Annotated[str, typer.Option(help="paper (a GPU), or tiny (CPU, random weights).")] = "paper",
        config: Annotated[
            Path | None, typer.Option(help="A TOML file with any field of the tuning config. Options win over it.")
        ] = None,
        resume: Annotated[str, typer.Option(help="latest, none, or the path of a checkpoint.")] = "latest",
        max_steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
        learning_rate: Annotated[float | None, typer.Option(help="Of AdamW, constant.")] = None,
        resolution: Annotated[int | None, typer.Option(help="Side in pixels that frames are resized to.")] = None,
        num_frames: Annotated[int | None, typer.Option(help="Frames that are taken of the GIF at most.")] = None,
        first_frame: Annotated[int | None, typer.Option(help="The first of them, counted from 0.")] = None,
        frame_step: Annotated[int | None, typer.Option(help="Frames of the GIF from one taken to the next.")] = None,
        depth_model: Annotated[
            str | None, typer.Option(help="Folder or hub name of a Depth Anything or DPT of relative depth.")
        ] = None,
        background_weight: Annotated[float | None, typer.Option(help="Of the background loss; 0 for none.")] = None,
        consistency_weight: Annotated[float | None, typer.Option(help="Of the temporal loss; 0 for none.")] = None,
        consistency: Annotated[
            str | None, typer.Option(help="change (as the source changes), or stillness (the paper's words).")
        ] = None,
        precision: Annotated[str | None, typer.Option(help="fp16, bf16 or no.")] = None,
        gradient_checkpointing: Annotated[
            bool | None, typer.Option("--gradient-checkpointing/--no-gradient-checkpointing", help="Less memory.")
        ] = None,
        frames_at_once: Annotated[int | None, typer.Option(help="Frames in the autoencoder together.")] = None,
        seed: Annotated[int | None, typer.Option(help="Of every draw.")] = None,
        checkpoint_every: Annotated[int | None, typer.Option(help="Steps from one checkpoint to the next.")] = None,
        validate_every: Annotated[int | None, typer.Option(help="Steps between validation GIFs; 0 for none.")] = None,
        validation_prompt: Annotated[str | None, typer.Option(help="Of the validation GIFs; else PROMPT.")] = None,
        wandb_project: Annotated[str | None, typer.Option(help="Tell Weights & Biases, too.")] = None,
    ) -> None:
        """Tune on one GIF. The same command goes on where it was stopped; SIGTERM and SIGUSR1 stop it politely.

        Example: pix2gif giftune train man-surfing.gif "a man is surfing" --model sd15/ --out surfing/
        """
        given = {name: value for name, value in locals().items() if value is not None}
        for name in ("gif", "prompt", "out", "preset", "config", "resume", "app", "read_frames"):
            given.pop(name, None)
        for name in ("model", "depth_model"):  # A folder is found again from wherever `sample` is called.
            if name in given and Path(given[name]).is_dir():
                given[name] = str(Path(given[name]).absolute())
        _train(read_frames, gif, prompt, out, preset, config, resume, given)

    app.command()(invert)
    app.command()(sample)
    return app


def invert(run: RunFolder, checkpoint: Checkpoint = "latest", steps: Steps = None) -> None:
    """Find the noise behind the run's GIF, once a checkpoint; `sample` does it where it was not done.

    Example: pix2gif giftune invert surfing/
    """
    from training.giftune.saved_run import read_run
    from training.runtime.libraries import silence_libraries

    silence_libraries()
    _check_steps(steps)
    tuned = read_run(run, checkpoint)
    path, was_there = tuned.invert(steps or tuned.tuned.config.inversion_steps)
    typer.echo(f"The noise behind the GIF at step {tuned.step} is in {path}{' already' if was_there else ''}.")


def sample(
    run: RunFolder,
    prompt: Annotated[str, typer.Argument(help="What is to be seen instead.")],
    out: Annotated[Path | None, typer.Option(help="The GIF.", show_default="RUN/samples/PROMPT.gif")] = None,
    checkpoint: Checkpoint = "latest",
    steps: Steps = None,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of the prompt's guidance; 1 for none.", show_default="the run's, 12.5")
    ] = None,
) -> None:
    """Draw a GIF for another caption, with the motion of the run's.

    Example: pix2gif giftune sample surfing/ "a sloth is surfing"
    """
    from training.giftune.clip import write_clip_gif
    from training.giftune.saved_run import read_run
    from training.runtime.libraries import silence_libraries

    silence_libraries()
    if out is not None and out.suffix.lower() != ".gif":
        raise TrainingError(f"--out {out} must end in .gif")
    _check_steps(steps)
    if guidance is not None and not guidance >= 1:
        raise TrainingError(f"--guidance is {guidance:g}; it must be 1 or more")
    path = out or run / "samples" / f"{name_of(prompt)}.gif"
    tuned = read_run(run, checkpoint)
    frames = tuned.sample(prompt, guidance=guidance, num_steps=steps)
    write_clip_gif(path, frames, tuned.tuned.clip.durations_ms)
    typer.echo(f"{len(frames)} frames of {prompt!r}: {path}")


def _check_steps(steps: int | None) -> None:
    from training.giftune.config import MAX_DDIM_STEPS

    if steps is not None and not 1 <= steps <= MAX_DDIM_STEPS:
        raise TrainingError(f"--steps is {steps}; it must be 1 to {MAX_DDIM_STEPS}")


def name_of(prompt: str) -> str:
    """Make a file's name of a prompt: `a-sloth-is-surfing`."""
    return re.sub(r"\W+", "-", prompt.lower()).strip("-")[:80] or "sample"


def _train(
    read_frames: ReadFrames,
    gif: str,
    prompt: str,
    out: Path,
    preset: str,
    config: Path | None,
    resume: str,
    given: dict[str, Any],
) -> None:
    from training.giftune.clip import take_clip
    from training.giftune.config import resolve_config
    from training.giftune.tuner import Tuner
    from training.runtime.libraries import silence_libraries

    resolved = resolve_config(preset, config, given)
    most = resolved.first_frame + resolved.num_frames * resolved.frame_step
    frames, durations_ms = read_frames(gif, resolved.resolution, most)
    clip = take_clip(frames, durations_ms, prompt, resolved)
    silence_libraries()
    state = Tuner(resolved, clip, out, resume=resume).tune()
    typer.echo(f"Step {state.step} of {resolved.max_steps} on {len(clip.frames)} frames; the run is in {out}.")
