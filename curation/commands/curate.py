"""`pix2gif curate`, which is `pix2gif-curate`: make a data set from a listing of GIFs."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.interruption import say_how_to_go_on
from curation.commands.options import EVERYDAY, config_option, fetch_option, run_option
from curation.config import CurationConfig
from curation.config_checks import read_config_file
from curation.errors import CurationError
from curation.options import FetchOptions, RunOptions
from curation.target_histogram import read_balance
from shards.interface.command_options import with_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """The options of `pix2gif curate`. None: not given, so the config file or the default applies."""

    out: Annotated[
        str | None,
        run_option(
            "--out", "The data set, required: a folder, or a prefix such as s3://bucket/shards.", panel=EVERYDAY
        ),
    ] = None
    gifs: Annotated[
        str | None,
        run_option(
            "--gifs", "Downloaded GIFs: a folder, a zip, a tar, or a quoted pattern of several, 'parts/*.zip'.",
            default="as listed", panel=EVERYDAY,
        ),
    ] = None  # fmt: skip
    splits: Annotated[
        Path | None,
        run_option(
            "--splits", "A folder with official lists train.txt, val.txt, test.txt: one URL or path per line.",
            default="a tenth becomes val", panel=EVERYDAY,
        ),
    ] = None  # fmt: skip
    min_motion: Annotated[
        float | None, config_option("min_motion", "Lowest motion to keep, in pixels.", panel=EVERYDAY)
    ] = None
    max_motion: Annotated[
        float | None, config_option("max_motion", "Highest motion to keep, in pixels.", panel=EVERYDAY)
    ] = None
    pairs_per_gif: Annotated[
        int | None, config_option("pairs_per_gif", "Keep up to this many pairs per GIF.", panel=EVERYDAY)
    ] = None
    resolution: Annotated[
        int | None,
        config_option(
            "resolution",
            "Squash frames to a square of this side, in pixels, to measure and store; 0: keep their size. Motion is in "
            "pixels of this size: 2 at 128 is 4 at 256.",
            panel=EVERYDAY,
        ),
    ] = None
    limit: Annotated[
        int | None,
        config_option("limit", "Use the first N rows only, for a first try.", panel=EVERYDAY, default="all"),
    ] = None
    workers: Annotated[
        int | None,
        run_option(
            "--workers", "Ray workers; 0: work in this process, without Ray.", default="one per core", panel=EVERYDAY
        ),
    ] = None
    overwrite: Annotated[bool | None, run_option("--overwrite", "Replace the data set in --out.", panel=EVERYDAY)] = (
        None
    )
    gifs_by: Annotated[
        str | None,
        config_option("gifs_by", "How a GIF is found in --gifs: name, path, url-sha256 or column:NAME.", panel="Input"),
    ] = None
    uri_column: Annotated[
        str | None,
        config_option(
            "uri_column", "Column with the paths or URLs, or the bytes.", panel="Input", default="by its name"
        ),
    ] = None
    caption_column: Annotated[
        str | None, config_option("caption_column", "Column with the captions.", panel="Input", default="by its name")
    ] = None
    keep_columns: Annotated[
        str | None,
        config_option("keep_columns", "Other columns for clips.parquet: A,B.", panel="Input", default="none"),
    ] = None
    flow: Annotated[
        str | None,
        run_option(
            "--flow", "The flow/ folder of a finished data set. Pairs that it measured are not measured again.",
            panel="Input",
        ),
    ] = None  # fmt: skip
    fps: Annotated[
        float | None, config_option("fps", "Sample videos at this many frames per second.", panel="Input")
    ] = None
    min_pairs: Annotated[
        int | None,
        config_option("min_pairs", "Leave out GIFs with fewer pairs in range; 10: at least 10 pairs from every GIF."),
    ] = None
    balance: Annotated[
        str | None,
        config_option("balance", "Motion histogram: flat, none (sample at random), or a JSON file with a target."),
    ] = None
    drop_cuts: Annotated[
        bool | None,
        config_option("drop_cuts", "Keep no pair with a scene cut between its frames.", "--drop-cuts", default="off"),
    ] = None
    near_distance: Annotated[
        int | None,
        config_option(
            "near_distance",
            "GIFs whose hashes differ by up to this many of 64 bits are near-duplicates, and are "
            "kept in one split only. 0: off.",
        ),
    ] = None
    val_fraction: Annotated[
        float | None, config_option("val_fraction", "Fraction of the clips for val; not used with --splits.")
    ] = None
    seed: Annotated[int | None, config_option("seed", "Seed of every random choice.")] = None
    samples_per_shard: Annotated[
        int | None, config_option("samples_per_shard", "Write up to this many samples per shard.", panel="Output")
    ] = None
    image_format: Annotated[
        str | None, config_option("image_format", "Format of stored frames: jpg, png or webp.", panel="Output")
    ] = None
    quality: Annotated[int | None, config_option("quality", "Quality of jpg and webp, 1 to 100.", panel="Output")] = (
        None
    )
    keep_credentials: Annotated[
        bool | None,
        run_option(
            "--keep-credentials", "Write passwords and tokens of URLs to the data set; otherwise they become REDACTED.",
            panel="Output",
        ),
    ] = None  # fmt: skip
    max_bytes: Annotated[
        int | None, config_option("max_bytes", "Skip larger files.", panel="Limits", default="67108864, 64 MiB")
    ] = None
    max_pixels: Annotated[
        int | None,
        config_option(
            "max_pixels", "Skip GIFs with a larger canvas, width x height.", panel="Limits",
            default="16777216, 4096 x 4096",
        ),
    ] = None  # fmt: skip
    max_frames: Annotated[
        int | None,
        config_option("max_frames", "Skip GIFs with more frames; cost grows with the square.", panel="Limits"),
    ] = None
    clip_timeout: Annotated[
        float | None, config_option("clip_timeout", "Seconds to decode and measure one GIF.", panel="Limits")
    ] = None
    clip_memory: Annotated[
        float | None,
        config_option(
            "clip_memory",
            "Memory for one GIF, in GiB. Each worker may use this much; only long GIFs come near it.",
            panel="Limits",
        ),
    ] = None
    cache: Annotated[
        str | None,
        run_option(
            "--cache", "Keep downloads here for other runs: a folder, or a prefix such as s3://bucket/gifs.",
            default="in OUT", panel="Fetching",
        ),
    ] = None  # fmt: skip
    max_cache_bytes: Annotated[
        int | None,
        fetch_option("max_cache_bytes", "Remove least recently used GIFs beyond this size.", default="no limit"),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        fetch_option(
            "allow_host", "Allow HOST or HOST:PORT even at a private or loopback address; repeatable.", default="none"
        ),
    ] = None
    robots: Annotated[
        bool | None,
        run_option(
            "--robots", "Ask the robots.txt of each host first, and leave out what it disallows for pix2gif-curate.",
            panel="Fetching",
        ),
    ] = None  # fmt: skip
    ignore_opt_outs: Annotated[
        bool | None,
        run_option(
            "--ignore-opt-outs",
            "Keep GIFs whose servers ask that nobody trains on them (X-Robots-Tag, TDM-Reservation). By default these "
            "are left out. You need their owners' permission, or a law that allows it; the data set records that you "
            "ignored them.",
            panel="Fetching",
        ),
    ] = None
    max_fetches: Annotated[int | None, fetch_option("max_fetches", "Concurrent downloads.")] = None
    fetches_per_host: Annotated[int | None, fetch_option("fetches_per_host", "Concurrent downloads per host.")] = None
    rate_per_host: Annotated[
        float | None, fetch_option("rate_per_host", "Requests per second and host; 0: no limit.")
    ] = None
    fetch_timeout: Annotated[float | None, fetch_option("fetch_timeout", "Seconds for one download attempt.")] = None
    ray_address: Annotated[
        str | None, run_option("--ray-address", "Use all cores of the Ray cluster at HOST:PORT, or auto.")
    ] = None
    config: Annotated[
        Path | None,
        run_option("--config", "A TOML file with any of these options, such as min_motion = 3. The command line wins."),
    ] = None
    check_sources: Annotated[
        bool | None, run_option("--check-sources", "Check that the GIFs on disk are those that OUT was made from.")
    ] = None
    quiet: Annotated[bool | None, run_option("--quiet", "Print errors only.")] = None

    def given(self) -> dict[str, Any]:
        """Return the options on the command line, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "config"}
        return {name: value for name, value in values.items() if value is not None and value != []}

    def resolve(self, listing: str) -> tuple[CurationConfig, RunOptions]:
        """Return the configuration: defaults, then the config file, then the command line. Raises CurationError."""
        config_names, run_names, fetch_names = (
            {field.name for field in dataclasses.fields(kind)} for kind in (CurationConfig, RunOptions, FetchOptions)
        )
        run_names -= {"fetch", "listing"}
        values: dict[str, Any] = {"workers": len(os.sched_getaffinity(0))}
        if self.config:
            values |= read_config_file(self.config, config_names | run_names | fetch_names)
        values |= self.given()
        if isinstance(values.get("balance"), str):
            values["balance"] = read_balance(values["balance"])
        if "out" not in values:
            raise CurationError("--out is missing: name the folder that becomes the data set")

        def pick(names: set[str]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name in names}

        fetch = FetchOptions(**pick(fetch_names))
        return CurationConfig(**pick(config_names)), RunOptions(listing=listing, fetch=fetch, **pick(run_names))


@with_options(CurateOptions)
def curate(
    listing: Annotated[
        str,
        typer.Argument(
            metavar="LISTING",
            help="GIFs and captions: a table (TGIF's TSV, CSV, TSV, JSON Lines, Parquet), a folder, WebDataset tars, "
            "or a quoted pattern of several. May be a URL.",
        ),
    ],
    options: CurateOptions,
) -> None:
    """Make WebDataset shards of frame pairs with measured motion from a listing of GIFs.

    Measures every frame pair of every GIF by Lucas-Kanade optical flow, keeps pairs of 2 to 20 pixels, and samples up
    to 10 per GIF so that the motion histogram is flat. To resume an interrupted run, run the same command again.
    100,000 GIFs take about 60 GB of disk, and 2 to 4 hours of one core.

    Example: pix2gif-curate tgif.tsv --gifs gifs/ --splits splits/ --out shards/

    A first try: pix2gif-curate list.csv --gifs 'parts/*.zip' --limit 100 --out try/
    """
    from curation.pipeline import curate as run
    from curation.run.progress import Progress
    from curation.run.status import command_line

    config, run_options = options.resolve(listing)
    progress = Progress(quiet=run_options.quiet, command=command_line())
    with say_how_to_go_on(run_options.out, progress.command):
        summary = run(run_options, config, progress)
    if run_options.quiet:
        return
    if summary is None:
        typer.echo(f"{run_options.out} holds this data set already, finished; nothing to do.")
    else:
        typer.echo(str(summary))
