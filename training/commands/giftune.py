"""`pix2gif giftune`: tune a model on one GIF and its caption, then sample GIFs of other captions with its motion."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shards.interface.command_options import with_options
from shards.interface.help import PlainGroup
from training.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ReadFrames = Callable[[str, int, int], "tuple[NDArray[np.uint8], NDArray[np.int32]]"]
"""Decodes a GIF: location, resolution in pixels, maximum number of frames -> frames [T, H, W, 3], durations_ms [T]."""

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of `pix2gif giftune train`.")]
Checkpoint = Annotated[str, typer.Option(help="latest, or the path of a checkpoint.")]
Steps = Annotated[int | None, typer.Option(help="DDIM steps.", show_default="the run's, 50")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """Options of `pix2gif giftune train`, each a field of GifTuneConfig. None: the value of the file or the preset."""

    model: Annotated[
        str | None,
        typer.Option(help="A Stable Diffusion 1.x or 2.x: a folder or hub repository.", show_default="the preset's"),
    ] = None
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Constant learning rate of AdamW.")] = None
    resolution: Annotated[int | None, typer.Option(help="Side in pixels that frames are resized to.")] = None
    num_frames: Annotated[int | None, typer.Option(help="Maximum number of frames of the clip.")] = None
    first_frame: Annotated[int | None, typer.Option(help="Index of the clip's first frame, from 0.")] = None
    frame_step: Annotated[int | None, typer.Option(help="Use every n-th frame of the GIF.")] = None
    depth_model: Annotated[
        str | None, typer.Option(help="A Depth Anything or DPT of relative depth: a folder or hub repository.")
    ] = None
    background_weight: Annotated[float | None, typer.Option(help="Weight of the background loss; 0: off.")] = None
    consistency_weight: Annotated[float | None, typer.Option(help="Weight of the temporal loss; 0: off.")] = None
    consistency: Annotated[
        str | None, typer.Option(help="Target of the temporal loss: change (of the source) or stillness (the paper).")
    ] = None
    precision: Annotated[str | None, typer.Option(help="no (float32), bf16 or fp16.")] = None
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option("--gradient-checkpointing/--no-gradient-checkpointing", help="Less memory, more time."),
    ] = None
    frames_at_once: Annotated[int | None, typer.Option(help="Frames per batch of the autoencoder.")] = None
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None
    validate_every: Annotated[int | None, typer.Option(help="Steps between validation GIFs; 0: off.")] = None
    validation_prompt: Annotated[str | None, typer.Option(help="Prompt of validation GIFs; else PROMPT.")] = None
    wandb_project: Annotated[str | None, typer.Option(help="Also log to this project of Weights & Biases.")] = None

    def overrides(self) -> dict[str, Any]:
        """Return the fields that are not None. Folders of models become absolute, for `sample` in any folder."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        for name in ("model", "depth_model"):
            if name in fields and Path(fields[name]).is_dir():
                fields[name] = str(Path(fields[name]).absolute())
        return fields


def make_giftune_app(read_frames: ReadFrames) -> typer.Typer:
    """Make the commands. The caller passes the GIF decoder, because training must not import curation."""
    app = typer.Typer(
        cls=PlainGroup,
        name="giftune",
        help="Tune a text-to-image model on one GIF, then sample GIFs of other captions with its motion.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )

    @app.command()
    @with_options(TuneOptions)
    def train(
        gif: Annotated[str, typer.Argument(help="A GIF.")],
        prompt: Annotated[str, typer.Argument(help="What the GIF shows, in a few words.")],
        out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, metrics, validation GIFs.")],
        options: TuneOptions,
        preset: Annotated[str, typer.Option(help="paper (a GPU), or tiny (CPU, random weights).")] = "paper",
        config: Annotated[
            Path | None, typer.Option(help="A TOML file with any field of the config. The command line wins.")
        ] = None,
        resume: Annotated[str, typer.Option(help="latest, none, or the path of a checkpoint.")] = "latest",
    ) -> None:
        """Tune a model on one GIF. The same command resumes a stopped run; SIGTERM and SIGUSR1 stop it after a step.

        Example: pix2gif giftune train man-surfing.gif "a man is surfing" --model sd15/ --out surfing/
        """
        from training.giftune.clip import make_clip
        from training.giftune.config import resolve_config
        from training.giftune.tuner import Tuner
        from training.runtime.libraries import silence_libraries

        resolved = resolve_config(preset, config, options.overrides())
        max_frames = resolved.first_frame + resolved.num_frames * resolved.frame_step
        clip = make_clip(*read_frames(gif, resolved.resolution, max_frames), prompt, resolved)
        silence_libraries()
        state = Tuner(resolved, clip, out, resume=resume).tune()
        typer.echo(f"Step {state.step} of {resolved.max_steps} on {len(clip.frames)} frames; the run is in {out}.")

    app.command()(invert)
    app.command()(sample)
    return app


def invert(run: RunFolder, checkpoint: Checkpoint = "latest", steps: Steps = None) -> None:
    """Invert the run's GIF to noise and cache it. `sample` does this too if it is missing.

    Example: pix2gif giftune invert surfing/
    """
    from training.giftune.saved_run import read_run
    from training.runtime.libraries import silence_libraries

    silence_libraries()
    _check_steps(steps)
    saved = read_run(run, checkpoint)
    path, existed = saved.invert(steps or saved.tuned.config.inversion_steps)
    typer.echo(f"The noise of the GIF at step {saved.step} is in {path}{' already' if existed else ''}.")


def sample(
    run: RunFolder,
    prompt: Annotated[str, typer.Argument(help="What the new GIF shows.")],
    out: Annotated[Path | None, typer.Option(help="The new GIF.", show_default="RUN/samples/PROMPT.gif")] = None,
    checkpoint: Checkpoint = "latest",
    steps: Steps = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale of the prompt; 1: off.", show_default="the run's, 12.5")
    ] = None,
) -> None:
    """Sample a GIF for another caption, with the motion of the run's GIF.

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
    path = out or run / "samples" / f"{_make_file_stem(prompt)}.gif"
    saved = read_run(run, checkpoint)
    frames = saved.sample(prompt, guidance=guidance, num_steps=steps)
    write_clip_gif(path, frames, saved.tuned.clip.durations_ms)
    typer.echo(f"{len(frames)} frames of {prompt!r}: {path}")


def _check_steps(steps: int | None) -> None:
    from training.giftune.config import MAX_DDIM_STEPS

    if steps is not None and not 1 <= steps <= MAX_DDIM_STEPS:
        raise TrainingError(f"--steps is {steps}; it must be 1 to {MAX_DDIM_STEPS}")


def _make_file_stem(prompt: str) -> str:
    """Return a file name for a prompt, without suffix: `a-sloth-is-surfing`."""
    return re.sub(r"\W+", "-", prompt.lower()).strip("-")[:80] or "sample"
