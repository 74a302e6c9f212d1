"""`pix2gif evaluate`: the metrics, each on folders of anybody's clips, and the paper's tables."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands.evaluate_tables import figure7, table1, table2
from training.commands.evaluation_options import Device, Out, Sources, join_numbers, parse_numbers
from training.evaluation import config
from training.runtime.config_fields import EVALUATION_MOTIONS_PX

if TYPE_CHECKING:
    import torch

evaluate_app = typer.Typer(
    name="evaluate",
    help="Measure generated clips, anybody's, and make the tables of the paper.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

GENERATED_HELP = "A folder of clips: folders of pictures, GIFs or videos, all of one length and size."


@evaluate_app.command()
def fvd(
    real: Annotated[Path, typer.Argument(help="A folder of real clips, as many as of the generated ones.")],
    generated: Annotated[Path, typer.Argument(help=GENERATED_HELP)],
    i3d: Annotated[
        str, typer.Option(help="TorchScript I3D: a file, a folder or hub name with i3d_torchscript.pt in it.")
    ] = config.I3D_NAME,
    every: Annotated[int, typer.Option(help="Take each n-th frame of the real clips.")] = 1,
    num_frames: Annotated[int | None, typer.Option(help="Take so many frames of each clip, from the first on.")] = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Measure Frechet Video Distance of two folders of clips; smaller is better.

    Frames are resized to 224 x 224. It takes at least 401 clips of each, and the paper takes 2,048.

    Example: pix2gif evaluate fvd ucf101/ generated/ --every 3 --num-frames 16 --i3d i3d_torchscript.pt
    """
    from training.evaluation.metrics.fvd import I3D, find_i3d
    from training.evaluation.metrics.on_folders import measure_fvd_of

    chosen = _prepare(device)
    network = I3D(find_i3d(i3d), chosen)
    values = measure_fvd_of(real, generated, network, every, num_frames, lambda note: typer.echo(f"Note: {note}"))
    options = {"real": real, "generated": generated, "i3d": i3d, "every": every, "num_frames": num_frames}
    _finish("fvd", values, options, {"i3d": network.sha256}, chosen, out)
    typer.echo(f"FVD of {values['num_videos']} clips: {values['fvd']:.2f}")


@evaluate_app.command()
def clipsim(
    generated: Annotated[Path, typer.Argument(help=GENERATED_HELP)],
    captions: Annotated[Path, typer.Option(help="Lines of a clip's name, a tab and its caption; or a JSON object.")],
    clip: Annotated[str, typer.Option(help="CLIP: a folder or hub name.")] = config.CLIPSIM_NAME,
    device: Device = None,
    out: Out = None,
) -> None:
    """Measure CLIPSim, the mean cosine of every frame and its clip's caption in CLIP's space; more is better.

    Example: pix2gif evaluate clipsim generated/ --captions captions.tsv
    """
    from training.evaluation.metrics.networks import ClipEncoder
    from training.evaluation.metrics.on_folders import measure_clipsim_of

    chosen = _prepare(device)
    network = ClipEncoder(clip, chosen)
    values = measure_clipsim_of(generated, captions, network)
    options = {"generated": generated, "captions": captions, "clip": clip}
    _finish("clipsim", values, options, {"clip": network.sha256}, chosen, out)
    typer.echo(f"CLIPSim of {values['num_clips']} clips: {values['clipsim']:.4f}")


@evaluate_app.command()
def pic(
    generated: Annotated[Path, typer.Argument(help=GENERATED_HELP)],
    sources: Sources = None,
    dreamsim: Annotated[Path | None, typer.Option(help="Folder of DreamSim's weights; fetched if not there.")] = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Measure PIC, the mean of 1 - DreamSim of source and frame; more is better. Needs the package dreamsim.

    Example: pix2gif evaluate pic generated/ --sources inputs/ucf-101/
    """
    from training.evaluation.metrics.on_folders import measure_pic_of
    from training.evaluation.metrics.pic import load_dreamsim

    chosen = _prepare(device)
    network = load_dreamsim(chosen, dreamsim)
    values = measure_pic_of(generated, sources, network)
    options = {"generated": generated, "sources": sources, "dreamsim": dreamsim}
    _finish("pic", values, options, {"dreamsim": network.sha256}, chosen, out)
    typer.echo(f"PIC of {values['num_clips']} clips: {values['pic']:.4f}")


@evaluate_app.command()
def motion(
    generated: Annotated[Path, typer.Argument(help=GENERATED_HELP)],
    motion: Annotated[str, typer.Option(help="What was asked for, one a frame, in pixels of the frames.")] = (
        join_numbers(EVALUATION_MOTIONS_PX)
    ),
    sources: Sources = None,
    out: Out = None,
) -> None:
    """Measure motion coherency: how well the motion from source to frames follows what was asked for.

    Measured as the training data was, averaged over the clips, then compared: Pearson correlation (more is better) and
    error in pixels (less is better).

    Example: pix2gif evaluate motion generated/ --sources sources/ --motion 2,4,6,8,11,14,17,19
    """
    from training.evaluation.metrics.motion_coherency import measure_motion_of_folder

    requested = parse_numbers(motion, "--motion")
    coherency = measure_motion_of_folder(generated, sources, requested)
    options = {"generated": generated, "sources": sources, "motion": requested}
    _finish("motion", dataclasses.asdict(coherency), options, {}, "cpu", out)
    typer.echo("requested px: " + " ".join(f"{number:6.2f}" for number in coherency.requested_px))
    typer.echo("measured px:  " + " ".join(f"{number:6.2f}" for number in coherency.measured_px))
    for what, agreement in (("averaged over", coherency.averaged), ("over single frames of", coherency.single)):
        pearson = "not defined" if agreement.pearson is None else f"{agreement.pearson:.4f}"
        typer.echo(
            f"{what} {coherency.num_clips} clips: Pearson {pearson}, RMS {agreement.rms_px:.3f} px, "
            f"norm {agreement.norm_px:.3f} px"
        )


@evaluate_app.command()
def similarity(
    generated: Annotated[Path, typer.Argument(help=GENERATED_HELP)],
    sources: Sources = None,
    targets: Annotated[Path | None, typer.Option(help="Folder of the targets, KEY.png or clip KEY.")] = None,
    clip: Annotated[str, typer.Option(help="CLIP: a folder or hub name.")] = config.SIMILARITY_CLIP_NAME,
    x_clip: Annotated[str, typer.Option(help="X-CLIP: a folder or hub name.")] = config.SIMILARITY_XCLIP_NAME,
    device: Device = None,
    out: Out = None,
) -> None:
    """Measure image-video similarity: cosine of CLIP's picture and X-CLIP's clip; more is nearer.

    Example: pix2gif evaluate similarity generated/ --sources sources/ --targets targets/
    """
    from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
    from training.evaluation.metrics.on_folders import measure_similarity_of

    chosen = _prepare(device)
    networks = ClipEncoder(clip, chosen), XClipEncoder(x_clip, chosen)
    values = measure_similarity_of(generated, sources, targets, *networks)
    options = {"generated": generated, "sources": sources, "targets": targets, "clip": clip, "x_clip": x_clip}
    hashes = {"clip": networks[0].sha256, "x_clip": networks[1].sha256}
    _finish("similarity", values, options, hashes, chosen, out)
    scores = [f"{side} score {values[side]:.4f}" for side in ("source", "target") if side in values]
    typer.echo(f"Similarity of {values['num_clips']} clips: {', '.join(scores)}")


evaluate_app.command()(table1)
evaluate_app.command()(table2)
evaluate_app.command()(figure7)


def _prepare(device: str | None) -> "torch.device":
    from training.runtime.devices import choose_device
    from training.runtime.libraries import silence_libraries

    silence_libraries()  # What is printed is the result.
    return choose_device(device)


def _finish(
    measure: str,
    values: dict[str, Any],
    options: dict[str, Any],
    weights: dict[str, str],
    device: object,
    out: Path | None,
) -> None:
    """Write the result where it is wanted."""
    from training.evaluation.tables.results import Result, write_result

    if out is not None:
        result = Result(measure=measure, values=values, config=options, weights=weights, device=str(device))
        write_result(result, out)
