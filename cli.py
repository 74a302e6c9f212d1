"""The commands `pix2gif` and `pix2gif-curate`: parse, delegate, print.

Heavy imports stand in the bodies of the commands, so that help and errors come at once.
"""

import contextlib
import dataclasses
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.config import CurationConfig, RunOptions, read_config_file
from curation.errors import CurationError
from shards.errors import DatasetError
from training.errors import TrainingError

app = typer.Typer(
    name="pix2gif",
    help="Make data sets of GIF frame pairs with measured motion, prove them, and train Pix2Gif on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
curate_app = typer.Typer(
    name="pix2gif-curate", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

_DEFAULTS = CurationConfig()
_EXIT_INTERRUPTED = 130


def _option(field: str, help_text: str, *names: str, panel: str) -> Any:
    """Make an option for a field of the config; its default is shown, and None means: not given."""
    default = getattr(_DEFAULTS, field)
    return typer.Option(
        *names or [f"--{field.replace('_', '-')}"],
        help=f"{help_text}  [default: {default}]",
        show_default=False,
        rich_help_panel=panel,
    )


def curate(
    listing: Annotated[
        Path,
        typer.Argument(help="A TSV: url or path, TAB, caption; no header. Relative paths start at its folder."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder that becomes the data set.", show_default="required"),
    ] = None,
    gifs: Annotated[
        Path | None, typer.Option(help="A folder with the GIFs already downloaded, found there by file name.")
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(help="A folder with the official lists train.txt, val.txt, test.txt, a url or path a line."),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(help="The folder flow/ of a finished data set: what it measured is not measured again."),
    ] = None,
    min_motion: Annotated[
        float | None, _option("min_motion", "Least motion of a kept pair, in pixels.", panel="Selection")
    ] = None,
    max_motion: Annotated[
        float | None, _option("max_motion", "Greatest motion of a kept pair, in pixels.", panel="Selection")
    ] = None,
    pairs_per_gif: Annotated[
        int | None, _option("pairs_per_gif", "Pairs taken of one GIF at most.", panel="Selection")
    ] = None,
    min_pairs: Annotated[
        int | None, _option("min_pairs", "Leave out a GIF with fewer pairs in range.", panel="Selection")
    ] = None,
    val_fraction: Annotated[
        float | None,
        _option("val_fraction", "Share of the clips for val, where there is no --splits.", panel="Selection"),
    ] = None,
    seed: Annotated[int | None, _option("seed", "Seed of every choice.", panel="Selection")] = None,
    resolution: Annotated[
        int | None,
        _option(
            "resolution",
            "Side in pixels at which frames are measured and stored; 0: the GIF's own.",
            panel="Output",
        ),
    ] = None,
    samples_per_shard: Annotated[
        int | None, _option("samples_per_shard", "Samples in one shard at most.", panel="Output")
    ] = None,
    image_format: Annotated[
        str | None, _option("image_format", "Of the stored frames: jpg, png or webp.", panel="Output")
    ] = None,
    quality: Annotated[int | None, _option("quality", "Of jpg and webp.", panel="Output")] = None,
    max_bytes: Annotated[int | None, _option("max_bytes", "Refuse a larger file as too_large.", panel="Limits")] = None,
    max_pixels: Annotated[
        int | None, _option("max_pixels", "Refuse a larger canvas (width x height).", panel="Limits")
    ] = None,
    max_frames: Annotated[
        int | None,
        _option("max_frames", "Refuse a GIF of more frames; cost goes with their square.", panel="Limits"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Ray workers; 0 works in this process, without Ray.", show_default="one a core"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with any of these by name, e.g. min_motion = 3. Options win."),
    ] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace what --out holds.")] = None,
    quiet: Annotated[bool | None, typer.Option("--quiet", help="Print nothing but errors.")] = None,
) -> None:
    """Turn a listing of GIFs into WebDataset shards of frame pairs with measured motion.

    Every pair of frames of every GIF is measured (Lucas-Kanade); pairs of motion 2 to 20 px are kept, 10 a GIF at
    most, so that the motion histogram comes out flat. Stop it whenever you like: the same command goes on.

    Example: pix2gif-curate tgif.tsv --gifs gifs/ --splits splits/ --out shards/
    """
    given = {name: value for name, value in locals().items() if name != "config" and value is not None}
    with _sentences_for_users():
        curation_config, options = _resolve(given, config)
        _run_curation(options, curation_config)


def _resolve(given: dict[str, Any], config_file: Path | None) -> tuple[CurationConfig, RunOptions]:
    """Defaults, then the file, then the options."""
    config_names = {field.name for field in dataclasses.fields(CurationConfig)}
    option_names = {field.name for field in dataclasses.fields(RunOptions)}
    values: dict[str, Any] = {"workers": len(os.sched_getaffinity(0))}
    if config_file:
        values |= read_config_file(config_file, config_names | option_names - {"listing"})
    values |= given
    if "out" not in values:
        raise CurationError("--out is missing: name the folder that becomes the data set")
    return (
        CurationConfig(**{name: value for name, value in values.items() if name in config_names}),
        RunOptions(**{name: value for name, value in values.items() if name in option_names}),
    )


def _run_curation(options: RunOptions, config: CurationConfig) -> None:
    from curation.pipeline import curate as run
    from curation.progress import Progress

    try:
        summary = run(options, config, Progress(quiet=options.quiet))
    except KeyboardInterrupt:
        kept = "what was measured is kept" if options.out.exists() else "nothing was made yet"
        typer.echo(f"\nInterrupted; {kept}. Run the same command again to go on.", err=True)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if options.quiet:
        return
    if summary is None:
        typer.echo(f"{options.out} holds this data set already, finished; nothing to do.")
    else:
        typer.echo(str(summary))


app.command("curate")(curate)
curate_app.command()(curate)


@app.command()
def flow(
    gif: Annotated[Path, typer.Argument(help="A GIF on this machine.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to: NAME.csv for the numbers, NAME.png for a heat map.", show_default="CSV, printed here"
        ),
    ] = None,
    resolution: Annotated[
        int | None, _option("resolution", "Side in pixels to measure at; 0: the GIF's own.", panel="Output")
    ] = None,
) -> None:
    """Measure the motion of every pair of one GIF: as numbers, or as a picture of source frame by target frame.

    Example: pix2gif flow cat.gif --out cat.png
    """
    with _sentences_for_users():
        from curation.heat_map import draw_heat_map, format_csv
        from curation.measure import measure_file
        from shards.atomic import write_atomically

        if out is not None and out.suffix.lower() not in (".csv", ".png"):
            raise CurationError(f"--out {out} must end in .csv or .png")
        config = _DEFAULTS if resolution is None else CurationConfig(resolution=resolution)
        measurement, rows = measure_file(gif, config)
        if out is None:
            typer.echo(format_csv(rows), nl=False)
            return
        with write_atomically(out) as temporary:
            if out.suffix.lower() == ".csv":
                temporary.write_text(format_csv(rows))
            else:
                title = f"Motion of every pair: {gif.name}"
                motion_px = rows["motion_px"].to_numpy()
                draw_heat_map(motion_px, measurement.num_frames, title).save(temporary, "PNG")
        if measurement.detail:
            typer.echo(f"{gif}: {measurement.detail}", err=True)
        typer.echo(f"{rows.num_rows:,} pairs of {measurement.num_frames} frames: {out}")


@app.command()
def train(
    shards: Annotated[
        str, typer.Argument(help="A finished data set, or a latent cache: a folder, http(s):// or s3://.")
    ],
    out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, metrics, GIFs, the model at the end.")],
    preset: Annotated[
        str, typer.Option(help="paper, card24 (one card of 24 GB) or tiny (CPU, random weights).")
    ] = "paper",
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with any field of the training config. Options win over it.")
    ] = None,
    resume: Annotated[str, typer.Option(help="latest, none, or the path of a checkpoint.")] = "latest",
    variant: Annotated[
        str | None, typer.Option(help="base, motion-embed, warp, warp-add, warp-concat or full (the preset's).")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Folder or hub name of the Stable Diffusion 1.x to begin from.")
    ] = None,
    autoencoder: Annotated[str | None, typer.Option(help="Folder or hub name of another autoencoder.")] = None,
    perceptual_weights: Annotated[str | None, typer.Option(help="VGG19's weights: a file, folder or hub name.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    global_batch: Annotated[int | None, typer.Option(help="Samples of a step over all processes.")] = None,
    micro_batch: Annotated[int | None, typer.Option(help="Samples that a process takes at once.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW, after the warm-up.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps of linear warm-up.")] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="Scale larger gradients down to this norm.")] = None,
    snr_gamma: Annotated[float | None, typer.Option(help="Weight timesteps by min(SNR, gamma) / SNR.")] = None,
    precision: Annotated[str | None, typer.Option(help="bf16, fp16 or no.")] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing", help="Half the memory for a third more time.")
    ] = None,
    compile_: Annotated[bool | None, typer.Option("--compile", help="Compile the U-Net.")] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read for each rank.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order, the noise, every draw.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps from one checkpoint to the next.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validation GIFs; 0 for none.")] = None,
    wandb_project: Annotated[str | None, typer.Option(help="Tell Weights & Biases, too, under this project.")] = None,
) -> None:
    """Train Pix2Gif on shards. The same command goes on where it was stopped; SIGTERM and SIGUSR1 stop it politely.

    Several GPUs: torchrun --nproc-per-node 8 --no-python pix2gif train shards/ --out run/

    Example: pix2gif train shards/ --preset tiny --out run/
    """
    given = {name.rstrip("_"): value for name, value in locals().items() if value is not None}
    with _sentences_for_users():
        from training.config import resolve_config

        for name in ("shards", "out", "preset", "config", "resume"):
            given.pop(name, None)
        resolved = resolve_config(preset, config, given)
        with _sentences_of_training():
            from training.setup import quieten_libraries
            from training.trainer import Trainer

            quieten_libraries()
            trainer = Trainer(resolved, shards, out, resume=resume)
            state = trainer.train()
        if trainer.is_main:
            processes = f"{trainer.num_processes} process{'es' if trainer.num_processes > 1 else ''}"
            typer.echo(f"Step {state.step} of {resolved.max_steps} on {processes}; the run is in {out}.")


@app.command()
def encode(
    shards: Annotated[Path, typer.Argument(help="A finished data set.")],
    out: Annotated[Path, typer.Option(help="The folder that becomes the latent cache.")],
    preset: Annotated[str, typer.Option(help="The training preset whose autoencoder encodes.")] = "paper",
    config: Annotated[Path | None, typer.Option(help="A TOML file, as of `pix2gif train`.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="As of `pix2gif train`.")] = None,
    autoencoder: Annotated[str | None, typer.Option(help="As of `pix2gif train`.")] = None,
    batch: Annotated[int, typer.Option(help="Samples that are encoded at once.")] = 16,
    workers: Annotated[int, typer.Option(help="Ray workers; 0 works in this process.")] = 0,
) -> None:
    """Encode a data set's pictures once, so that training reads latents: `pix2gif train LATENTS` takes either.

    Example: pix2gif encode shards/ --preset tiny --out latents/
    """
    named = {"pretrained": pretrained, "autoencoder": autoencoder}
    with _sentences_for_users():
        from curation.cluster import start_workers
        from curation.progress import Progress
        from shards.manifest import read_manifest
        from training.config import resolve_config

        resolved = resolve_config(preset, config, {name: value for name, value in named.items() if value is not None})
        total = sum(entry.num_samples for entry in read_manifest(shards).splits.values())
        with (
            _sentences_of_training(),
            start_workers(workers) as pool,
            Progress().stage("encode", total, "pairs") as bar,
        ):
            from training.encode import encode_dataset

            latents = encode_dataset(
                shards.absolute(), out.absolute(), resolved, pool.map, batch=batch, done=bar.update
            )
        typer.echo(f"The latents of {total:,} pairs are in {out}{'' if latents else ' already, finished'}.")


@app.command()
def verify(
    out: Annotated[Path, typer.Argument(help="A folder that `pix2gif curate` finished.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Prove a data set: hashes, counts, adjacency, accounts; names the first thing that does not hold."""
    with _sentences_for_users():
        from shards.verify import verify_dataset

        proved = verify_dataset(out)
        if not quiet:
            typer.echo(str(proved))


@contextlib.contextmanager
def _sentences_for_users() -> Iterator[None]:
    """Turn what the user must act on into one sentence and exit status 1; let bugs raise."""
    try:
        yield
    except (CurationError, DatasetError, TrainingError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.EFBIG,
        ):
            raise
        where = f", writing {error.filename}" if error.filename else ""
        typer.echo(
            f"Error: {os.strerror(error.errno)}{where}; what was finished is kept: mend that and run the same command "
            "again.",
            err=True,
        )
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _sentences_of_training() -> Iterator[None]:
    """Turn what training raises at the user into sentences; apart, as its rooms bring torch along."""
    from training.data.errors import DataError
    from training.model.errors import ModelError

    try:
        yield
    except (DataError, ModelError) as error:
        raise TrainingError(str(error)) from error


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop_politely() -> None:
    """Let SIGTERM, of a scheduler or a container, end a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def main() -> None:
    """Run `pix2gif`."""
    _stop_politely()
    app()


def curate_main() -> None:
    """Run `pix2gif-curate`, which is `pix2gif curate`."""
    _stop_politely()
    curate_app()
