"""`pix2gif curate`, which is `pix2gif-curate`: a listing of GIFs -> a data set."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.options import fetch_option, field_option
from curation.config import CurationConfig
from curation.config_checks import read_config_file
from curation.errors import CurationError
from curation.options import FetchOptions, RunOptions
from curation.target_histogram import read_balance

_EXIT_INTERRUPTED = 130


def curate(
    listing: Annotated[
        str,
        typer.Argument(
            metavar="LISTING",
            help="A TSV: url or path, TAB, caption; no header. Relative paths start at its folder. May be a url.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            help="The folder that becomes the data set, or a place such as s3://bucket/shards.",
            show_default="required",
        ),
    ] = None,
    gifs: Annotated[
        Path | None, typer.Option(help="A folder with the GIFs already downloaded, found there by file name.")
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(help="A folder with the official lists train.txt, val.txt, test.txt, a url or path a line."),
    ] = None,
    flow: Annotated[
        str | None,
        typer.Option(help="The folder flow/ of a finished data set: what it measured is not measured again."),
    ] = None,
    min_motion: Annotated[
        float | None, field_option("min_motion", "Least motion of a kept pair, in pixels.", panel="Selection")
    ] = None,
    max_motion: Annotated[
        float | None, field_option("max_motion", "Greatest motion of a kept pair, in pixels.", panel="Selection")
    ] = None,
    pairs_per_gif: Annotated[
        int | None, field_option("pairs_per_gif", "Pairs taken of one GIF at most.", panel="Selection")
    ] = None,
    min_pairs: Annotated[
        int | None, field_option("min_pairs", "Leave out a GIF with fewer pairs in range.", panel="Selection")
    ] = None,
    drop_cuts: Annotated[
        bool | None, field_option("drop_cuts", "Keep no pair across a scene cut.", "--drop-cuts", panel="Selection")
    ] = None,
    near_distance: Annotated[
        int | None,
        field_option(
            "near_distance",
            "Bits of 64 up to which GIFs are near copies, which never stand in two splits; 0: off.",
            panel="Selection",
        ),
    ] = None,
    balance: Annotated[
        str | None,
        field_option(
            "balance", "Motion histogram: flat, none (a plain draw), or a JSON file with a target.", panel="Selection"
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        field_option("val_fraction", "Share of the clips for val, where there is no --splits.", panel="Selection"),
    ] = None,
    seed: Annotated[int | None, field_option("seed", "Seed of every choice.", panel="Selection")] = None,
    resolution: Annotated[
        int | None,
        field_option(
            "resolution",
            "Side in pixels at which frames are measured and stored; 0: the GIF's own.",
            panel="Output",
        ),
    ] = None,
    samples_per_shard: Annotated[
        int | None, field_option("samples_per_shard", "Samples in one shard at most.", panel="Output")
    ] = None,
    image_format: Annotated[
        str | None, field_option("image_format", "Of the stored frames: jpg, png or webp.", panel="Output")
    ] = None,
    quality: Annotated[int | None, field_option("quality", "Of jpg and webp.", panel="Output")] = None,
    max_bytes: Annotated[
        int | None, field_option("max_bytes", "Refuse a larger file as too_large.", panel="Limits")
    ] = None,
    max_pixels: Annotated[
        int | None, field_option("max_pixels", "Refuse a larger canvas (width x height).", panel="Limits")
    ] = None,
    max_frames: Annotated[
        int | None,
        field_option("max_frames", "Refuse a GIF of more frames; cost goes with their square.", panel="Limits"),
    ] = None,
    clip_timeout: Annotated[
        float | None,
        field_option(
            "clip_timeout", "Seconds to decode and measure one GIF; a longer one is timed_out.", panel="Limits"
        ),
    ] = None,
    clip_memory: Annotated[
        float | None,
        field_option("clip_memory", "GiB of memory for one GIF; one that wants more is crashed.", panel="Limits"),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Keep what is fetched here, for other runs too: a folder, or a place such as s3://bucket/gifs.",
            show_default="in OUT",
            rich_help_panel="Fetching",
        ),
    ] = None,
    max_cache_bytes: Annotated[
        int | None,
        fetch_option(
            "max_cache_bytes", "Drop what was used longest ago, where the cache holds more.", default="no limit"
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        fetch_option(
            "allow_host",
            "HOST or HOST:PORT to fetch from though its address is private or loopback; may be repeated.",
            default="none",
        ),
    ] = None,
    max_fetches: Annotated[int | None, fetch_option("max_fetches", "Fetches under way at once.")] = None,
    fetches_per_host: Annotated[int | None, fetch_option("fetches_per_host", "Of these, from one host.")] = None,
    rate_per_host: Annotated[
        float | None, fetch_option("rate_per_host", "Requests to one host a second at most; 0: no limit.")
    ] = None,
    fetch_timeout: Annotated[
        float | None, fetch_option("fetch_timeout", "Seconds for one try at one GIF, all told.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Ray workers; 0 works in this process, without Ray.", show_default="one a core"),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="Work on the Ray cluster at this address, HOST:PORT or auto, with all its cores.", show_default="none"
        ),
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
    given = {name: value for name, value in locals().items() if name != "config" and value not in (None, [])}
    curation_config, options = _resolve(given, config)
    _run_curation(options, curation_config)


def _resolve(given: dict[str, Any], config_file: Path | None) -> tuple[CurationConfig, RunOptions]:
    """Defaults, then the file, then the options."""
    config_names = {field.name for field in dataclasses.fields(CurationConfig)}
    option_names = {field.name for field in dataclasses.fields(RunOptions)} - {"fetch"}
    fetch_names = {field.name for field in dataclasses.fields(FetchOptions)}
    values: dict[str, Any] = {"workers": len(os.sched_getaffinity(0))}
    if config_file:
        values |= read_config_file(config_file, config_names | fetch_names | option_names - {"listing"})
    values |= given
    if isinstance(values.get("balance"), str):
        values["balance"] = read_balance(values["balance"])
    if "out" not in values:
        raise CurationError("--out is missing: name the folder that becomes the data set")
    return (
        CurationConfig(**{name: value for name, value in values.items() if name in config_names}),
        RunOptions(
            fetch=FetchOptions(**{name: value for name, value in values.items() if name in fetch_names}),
            **{name: value for name, value in values.items() if name in option_names},
        ),
    )


def _run_curation(options: RunOptions, config: CurationConfig) -> None:
    from curation.pipeline import curate as run
    from curation.run.progress import Progress

    try:
        summary = run(options, config, Progress(quiet=options.quiet))
    except KeyboardInterrupt:
        kept = "what was measured is kept" if options.out.exists() else "nothing was made yet"
        typer.echo(f"\ninterrupted; {kept}: run the same command again to go on", err=True)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if options.quiet:
        return
    if summary is None:
        typer.echo(f"{options.out} holds this data set already, finished; nothing to do.")
    else:
        typer.echo(str(summary))
