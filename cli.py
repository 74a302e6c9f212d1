"""Entry points `pix2gif` and `pix2gif-curate`: mount the commands, print errors as one sentence.

Each command is in the room it belongs to; `encode`, which joins two rooms, is here.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from curation.commands.audit import audit
from curation.commands.curate import curate
from curation.commands.flow import flow
from curation.commands.plan import plan
from curation.commands.replay import replay
from curation.commands.resplit import resplit
from curation.commands.retry import retry
from curation.commands.status import status
from curation.commands.verify import verify
from curation.commands.view import view
from curation.errors import CurationError
from shards.errors import DatasetError, StoreError
from shards.interface.credentials import redact
from shards.interface.help import GroupedCommand, PlainGroup
from shards.interface.printable import printable
from training.commands.app import app as serve_page
from training.commands.evaluate import evaluate_app
from training.commands.generate import generate
from training.commands.giftune import make_giftune_app
from training.commands.push import push
from training.commands.train import train
from training.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@contextlib.contextmanager
def _print_errors() -> Iterator[None]:
    """Print an error that the user can act on as one sentence and exit with status 1; let bugs raise."""
    try:
        yield
    except (CurationError, DatasetError, StoreError, TrainingError) as error:
        _fail(str(error))
    except OSError as error:
        if error.errno is None:
            raise
        # Arrow names the file in its message only.
        reason = os.strerror(error.errno) if error.filename else str(error.strerror or error).partition("\n")[0]
        where = f": {error.filename}" if error.filename else ""
        _fail(
            f"{reason[:1].lower()}{reason[1:]}{where}; finished work is kept: fix this and run the same command again"
        )


def _fail(message: str) -> NoReturn:
    """Print an error, to the standard output where there is no other stream, and exit with status 1."""
    typer.echo(f"Error: {printable(redact(message))}", err=not _has_no_stderr)
    sys.exit(1)


app = typer.Typer(
    name="pix2gif",
    cls=PlainGroup,
    help="Curate GIF frame pairs with measured motion, train Pix2Gif on them, generate GIFs and evaluate them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
curate_app = typer.Typer(
    name="pix2gif-curate", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _print_version(asked: bool) -> None:
    from importlib import metadata

    if asked:
        typer.echo(f"pix2gif {metadata.version('pix2gif')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for command in (curate, flow, retry, plan, resplit, replay, status, verify, audit, view, train, generate, push):
    app.command(cls=GroupedCommand)(command)
app.command("app", cls=GroupedCommand)(serve_page)
curate_app.command(cls=GroupedCommand)(curate)
app.add_typer(evaluate_app, name="evaluate")


def _read_frames(location: str, resolution: int, most: int) -> "tuple[NDArray[np.uint8], NDArray[np.int32]]":
    """Decode a GIF for GIF-Tune, as curation decodes; says where a damaged one ends early."""
    from curation.decode import read_frames

    frames = read_frames(location, resolution, max_frames=most)
    if frames.damage:
        typer.echo(f"{location}: {frames.damage}", err=True)
    return frames.rgb, frames.durations_ms


app.add_typer(make_giftune_app(_read_frames), name="giftune")


@app.command(cls=GroupedCommand)
def encode(
    shards: Annotated[
        str, typer.Argument(metavar="DATASET", help="A finished data set: a folder, http(s)://, s3:// or gs://.")
    ],
    out: Annotated[Path, typer.Option(help="The folder that becomes the latent cache.")],
    preset: Annotated[str, typer.Option(help="The training preset whose autoencoder encodes.")] = "paper",
    config: Annotated[Path | None, typer.Option(help="A TOML file, as of `pix2gif train`.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="As of `pix2gif train`.")] = None,
    autoencoder: Annotated[str | None, typer.Option(help="As of `pix2gif train`.")] = None,
    batch: Annotated[int, typer.Option(help="Samples that are encoded at once.")] = 16,
    workers: Annotated[
        int | None,
        typer.Option(help="Ray workers; 0 works in this process.", show_default="one per GPU, where there are several"),
    ] = None,
) -> None:
    """Encode a data set's pictures once, so that training reads latents: `pix2gif train LATENTS` takes either.

    Example: pix2gif encode shards/ --preset tiny --out latents/
    """
    import torch

    from curation.run.progress import Progress
    from curation.run.workers import open_workers
    from shards.manifest import read_manifest
    from shards.storage.location import parse_readable_location
    from training.trainer.config import resolve_config
    from training.trainer.encode_latents import choose_workers, encode_dataset

    named = {"pretrained": pretrained, "autoencoder": autoencoder}
    resolved = resolve_config(preset, config, {name: value for name, value in named.items() if value is not None})
    location = parse_readable_location(shards).absolute()
    total = sum(entry.num_samples for entry in read_manifest(location).splits.values())
    num_workers, gpus_per_task = choose_workers(workers, torch.cuda.device_count())
    with (
        open_workers(num_workers, gpus_per_task=gpus_per_task) as pool,
        Progress().stage("encode", total, "pairs") as bar,
    ):
        latents = encode_dataset(location, out.absolute(), resolved, pool.map, batch=batch, progress=bar.update)
    typer.echo(f"The latents of {total:,} pairs are in {out}{'' if latents else ' already, finished'}.")


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


_STDERR = 2
_has_no_stderr = sys.stderr is None


def _prepare_streams() -> None:
    """Open streams that are closed, and print what the terminal's encoding lacks as escapes.

    Otherwise the next file that is opened gets a closed stream's number, and what libraries print goes into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _handle_sigterm() -> None:
    """Make SIGTERM, which schedulers and containers send, end a run like Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)


def main() -> None:
    """Run `pix2gif`."""
    _prepare_streams()
    _handle_sigterm()
    with _print_errors():
        app()


def curate_main() -> None:
    """Run `pix2gif-curate`, which is `pix2gif curate`."""
    _prepare_streams()
    _handle_sigterm()
    with _print_errors():
        curate_app()
