"""`pix2gif evaluate table1`, `table2` and `figure7`: the paper's protocols, resumable, on one process or several."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from training.commands.evaluation_options import (
    Batch,
    Device,
    Models,
    NumPairs,
    OthersFrames,
    Precision,
    Resolution,
    Seed,
    Shards,
    Steps,
    TableOut,
    TextGuidance,
    join_numbers,
    parse_names,
    parse_numbers,
)
from training.evaluation import config
from training.runtime.config_fields import EVALUATION_MOTIONS_PX


def table1(
    out: TableOut,
    ucf101: Annotated[
        Path | None, typer.Option(help="UCF-101 as downloaded: folders of classes, .avi in them.")
    ] = None,
    msrvtt: Annotated[Path | None, typer.Option(help="MSR-VTT as downloaded: its JSON and its videos.")] = None,
    model: Models = None,
    frames: OthersFrames = None,
    metrics: Annotated[str, typer.Option(help="Those that are measured.")] = ",".join(config.METRICS),
    num_videos: Annotated[int, typer.Option(help="Videos of each data set, drawn by seed.")] = 2048,
    every: Annotated[int, typer.Option(help="Take each n-th frame of a real video.")] = 3,
    motion: Annotated[str, typer.Option(help="One a frame, in pixels of the frames; as many as real frames.")] = (
        join_numbers(config.SIXTEEN_MOTIONS)
    ),
    resolution: Annotated[int, typer.Option(help="Side of real frames and sources in pixels.")] = 256,
    steps: Steps = 50,
    text_guidance: TextGuidance = 7.5,
    image_guidance: Annotated[float, typer.Option(help="s_I.")] = 2.0,
    seed: Seed = 1371,
    i3d: Annotated[str, typer.Option(help="As of `pix2gif evaluate fvd`.")] = config.I3D_NAME,
    clip: Annotated[str, typer.Option(help="As of `pix2gif evaluate clipsim`.")] = config.CLIPSIM_NAME,
    dreamsim: Annotated[Path | None, typer.Option(help="As of `pix2gif evaluate pic`.")] = None,
    batch: Batch = None,
    precision: Precision = "no",
    device: Device = None,
) -> None:
    """Make Table 1: FVD, CLIPSim and PIC on UCF-101 and MSR-VTT, beside the paper's figures.

    Each video's first frame and caption make a clip. OUT/inputs holds both, for other models to be run on. Several
    GPUs: torchrun --nproc-per-node 8 --no-python pix2gif evaluate table1 ...

    Example: pix2gif evaluate table1 --ucf101 UCF-101/ --msrvtt MSRVTT/ --model full=run/model --out table1/
    """
    requested = parse_numbers(motion, "--motion")
    protocol = config.Table1Config(
        metrics=tuple(metrics.split(",")), num_videos=num_videos, every=every, num_frames=len(requested),
        resolution=resolution, seed=seed,
    )  # fmt: skip
    sampling = _sampling(requested, steps, text_guidance, seed, precision, image_guidance=image_guidance)
    models, folders = parse_names(model, frames)
    from training.evaluation.tables.runs import Place, run_table1

    place = Place(out=out, models=models, frames=folders, device=device, batch=batch)
    sets = {name: folder for name, folder in (("ucf-101", ucf101), ("msr-vtt", msrvtt)) if folder is not None}
    weights = {"i3d": i3d, "clip": clip, **({"dreamsim": str(dreamsim)} if dreamsim else {})}
    run_table1(place, sets, protocol, sampling, weights, typer.echo)


def table2(
    shards: Shards,
    out: TableOut,
    model: Models = None,
    frames: OthersFrames = None,
    motion: Annotated[str, typer.Option(help="One a frame, in pixels of the frames.")] = (
        join_numbers(EVALUATION_MOTIONS_PX)
    ),
    image_guidance: Annotated[str, typer.Option(help="The scales s_I that are tried.")] = (
        join_numbers(config.TABLE_2_GUIDANCE)
    ),
    num_pairs: NumPairs = 100,
    resolution: Resolution = None,
    steps: Steps = 100,
    text_guidance: TextGuidance = 7.5,
    seed: Seed = 1371,
    batch: Batch = None,
    precision: Precision = "no",
    device: Device = None,
) -> None:
    """Make Table 2, motion coherency at several guidance scales beside the paper's figures, and its curve.

    Frames are made of the source and caption of val pairs. Several GPUs: as for `pix2gif evaluate table1`.

    Example: pix2gif evaluate table2 shards/ --model base=run-base/model --model full=run-full/model --out table2/
    """
    sampling = _sampling(parse_numbers(motion, "--motion"), steps, text_guidance, seed, precision)
    protocol = config.GridConfig(
        image_guidance=parse_numbers(image_guidance, "--image-guidance"),
        num_pairs=num_pairs, resolution=resolution, seed=seed,
    )  # fmt: skip
    models, folders = parse_names(model, frames)
    from training.evaluation.tables.runs import Place, run_table2

    place = Place(out=out, models=models, frames=folders, device=device, batch=batch)
    run_table2(place, shards, protocol, sampling, typer.echo)


def figure7(
    shards: Shards,
    out: TableOut,
    model: Models = None,
    frames: OthersFrames = None,
    motion: Annotated[str, typer.Option(help="One a frame, in pixels of the frames; X-CLIP takes 8 frames.")] = (
        join_numbers(EVALUATION_MOTIONS_PX)
    ),
    image_guidance: Annotated[str, typer.Option(help="The scales s_I that are tried.")] = (
        join_numbers(config.FIGURE_7_GUIDANCE)
    ),
    num_pairs: NumPairs = 100,
    resolution: Resolution = None,
    steps: Steps = 100,
    text_guidance: TextGuidance = 7.5,
    seed: Seed = 1371,
    clip: Annotated[str, typer.Option(help="As of `pix2gif evaluate similarity`.")] = config.SIMILARITY_CLIP_NAME,
    x_clip: Annotated[str, typer.Option(help="As of `pix2gif evaluate similarity`.")] = config.SIMILARITY_XCLIP_NAME,
    batch: Batch = None,
    precision: Precision = "no",
    device: Device = None,
) -> None:
    """Make Figure 7: similarity of clips to their source and target over the guidance scale, one curve a method.

    Example: pix2gif evaluate figure7 shards/ --model base=run-base/model --model full=run-full/model --out figure7/
    """
    sampling = _sampling(parse_numbers(motion, "--motion"), steps, text_guidance, seed, precision)
    protocol = config.GridConfig(
        image_guidance=parse_numbers(image_guidance, "--image-guidance"),
        num_pairs=num_pairs, resolution=resolution, seed=seed,
    )  # fmt: skip
    models, folders = parse_names(model, frames)
    from training.evaluation.tables.runs import Place, run_figure7

    place = Place(out=out, models=models, frames=folders, device=device, batch=batch)
    run_figure7(place, shards, protocol, sampling, {"clip": clip, "x_clip": x_clip}, typer.echo)


def _sampling(
    motion_px: tuple[float, ...], steps: int, text_guidance: float, seed: int, precision: str, **others: Any
) -> config.SamplingConfig:
    """Make the sampling config, which checks what was chosen."""
    return config.SamplingConfig(
        motion_px=motion_px, num_inference_steps=steps, text_guidance=text_guidance, seed=seed,
        precision=cast(Any, precision), **others,
    )  # fmt: skip
