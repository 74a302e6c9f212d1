"""`pix2gif evaluate table1`, `table2` and `figure7`: the paper's protocols, on one process or several."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from shards.interface.command_options import with_options
from training.commands.evaluation_options import TableOptions, join_numbers, parse_numbers
from training.evaluation import config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1Options(TableOptions):
    """Options of `table1`."""

    ucf101: Annotated[
        Path | None, typer.Option(help="UCF-101 as downloaded: one folder of .avi videos for each class.")
    ] = None
    msrvtt: Annotated[Path | None, typer.Option(help="MSR-VTT as downloaded: its JSON and its videos.")] = None
    metrics: Annotated[str, typer.Option(help="Metrics to compute.")] = ",".join(config.METRICS)
    num_videos: Annotated[int, typer.Option(help="Videos to draw from each data set.")] = 2048
    start: Annotated[int, typer.Option(help="First frame of a real video; the source is frame 0.")] = 1
    every: Annotated[int, typer.Option(help="Use every n-th frame of a real video.")] = 3
    motion: Annotated[str, typer.Option(help="Motion of each frame, in pixels; one for each real frame.")] = (
        join_numbers(config.SIXTEEN_MOTIONS_PX)
    )
    resolution: Annotated[int, typer.Option(help="Side of real frames and sources in pixels.")] = 256
    steps: Annotated[int, typer.Option(help="Steps of the sampler.")] = 50
    image_guidance: Annotated[float, typer.Option(help="Image guidance scale s_I.")] = 2.0
    i3d: Annotated[str, typer.Option(help="As in `pix2gif evaluate fvd`.")] = config.I3D_NAME
    clip: Annotated[str, typer.Option(help="As in `pix2gif evaluate clipsim`.")] = config.CLIPSIM_NAME
    dreamsim: Annotated[Path | None, typer.Option(help="As in `pix2gif evaluate pic`.")] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridOptions(TableOptions):
    """Options of `table2` and `figure7`."""

    shards: Annotated[Path, typer.Argument(metavar="DATASET", help="A finished data set with a val split.")]
    image_guidance: Annotated[str, typer.Option(help="Image guidance scales s_I to compare.")] = join_numbers(
        config.TABLE_2_GUIDANCE
    )
    num_pairs: Annotated[int, typer.Option(help="Pairs to draw from the val split.")] = 100
    noise: Annotated[str, typer.Option(help="shared by all frames, or frame: each has its own.")] = "frame"
    resolution: Annotated[
        int | None,
        typer.Option(help="Side in pixels that images are resized to.", show_default="not resized"),
    ] = None

    def make_config(self) -> config.GridConfig:
        """Return the configuration. Raises EvaluationError for bad values."""
        return config.GridConfig(
            image_guidance=parse_numbers(self.image_guidance, "--image-guidance"),
            num_pairs=self.num_pairs,
            resolution=self.resolution,
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure7Options(GridOptions):
    """Options of `figure7`."""

    image_guidance: Annotated[str, typer.Option(help="Image guidance scales s_I to compare.")] = join_numbers(
        config.FIGURE_7_GUIDANCE
    )
    clip: Annotated[str, typer.Option(help="As in `pix2gif evaluate similarity`.")] = config.SIMILARITY_CLIP_NAME
    x_clip: Annotated[str, typer.Option(help="As in `pix2gif evaluate similarity`.")] = config.SIMILARITY_XCLIP_NAME


@with_options(Table1Options)
def table1(options: Table1Options) -> None:
    """Make Table 1: FVD, CLIPSim and PIC on UCF-101 and MSR-VTT, beside the published values.

    A clip is generated from the first frame and the caption of each video. OUT/inputs holds both, as inputs for other
    models. On several GPUs: torchrun --nproc-per-node 8 --no-python pix2gif evaluate table1 ...

    Example: pix2gif evaluate table1 --ucf101 UCF-101/ --msrvtt MSRVTT/ --model full=run/model --out table1/
    """
    sampling = options.make_sampling(image_guidance=options.image_guidance)
    protocol = config.Table1Config(
        metrics=tuple(options.metrics.split(",")),
        num_videos=options.num_videos,
        start=options.start,
        every=options.every,
        num_frames=len(sampling.motion_px),
        resolution=options.resolution,
        seed=options.seed,
    )
    methods = options.make_methods()
    from training.evaluation.tables.runs import run_table1

    folders = {"ucf-101": options.ucf101, "msr-vtt": options.msrvtt}
    weights = {"i3d": options.i3d, "clip": options.clip}
    if options.dreamsim is not None:
        weights["dreamsim"] = str(options.dreamsim)
    given = {name: folder for name, folder in folders.items() if folder is not None}
    run_table1(methods, given, protocol, sampling, weights, typer.echo)


@with_options(GridOptions)
def table2(options: GridOptions) -> None:
    """Make Table 2, motion coherency at several guidance scales beside the published values, and its curve.

    Frames are generated from the source and the caption of val pairs. On several GPUs: see `pix2gif evaluate table1`.

    Example: pix2gif evaluate table2 shards/ --model base=run-base/model --model full=run-full/model --out table2/
    """
    grid, sampling, methods = options.make_config(), options.make_sampling(), options.make_methods()
    from training.evaluation.tables.runs import run_table2

    run_table2(methods, options.shards, grid, sampling, typer.echo)


@with_options(Figure7Options)
def figure7(options: Figure7Options) -> None:
    """Make Figure 7: similarity of clips to source and target over the guidance scale, one curve for each method.

    X-CLIP embeds 8 frames of a clip, evenly spaced.

    Example: pix2gif evaluate figure7 shards/ --model base=run-base/model --model full=run-full/model --out figure7/
    """
    grid, sampling, methods = options.make_config(), options.make_sampling(), options.make_methods()
    from training.evaluation.tables.runs import run_figure7

    weights = {"clip": options.clip, "x_clip": options.x_clip}
    run_figure7(methods, options.shards, grid, sampling, weights, typer.echo)
