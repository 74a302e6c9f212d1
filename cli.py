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

app = typer.Typer(
    name="pix2gif",
    help="Make data sets of GIF frame pairs with measured motion, and prove them.",
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
    except (CurationError, DatasetError) as error:
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
