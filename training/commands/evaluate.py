"""`pix2gif evaluate`: metrics of folders of clips, and the paper's tables."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shards.interface.help import PlainGroup
from training.commands.evaluate_tables import figure7, table1, table2
from training.commands.evaluation_options import Out, Sources, join_numbers, parse_numbers
from training.commands.options import Device
from training.evaluation import config
from training.runtime.config_fields import EVALUATION_MOTIONS_PX

if TYPE_CHECKING:
    import torch

evaluate_app = typer.Typer(
    cls=PlainGroup,
    name="evaluate",
    help="Measure generated clips of any model, and make the tables of the paper.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Generated = Annotated[
    Path, typer.Argument(help="A folder of clips of the same length and size: folders of images, GIFs or videos.")
]


@evaluate_app.command()
def fvd(
    real: Annotated[Path, typer.Argument(help="A folder of as many real clips as generated ones.")],
    generated: Generated,
    i3d: Annotated[
        str, typer.Option(help="TorchScript I3D: a file, or a folder or hub repository with i3d_torchscript.pt.")
    ] = config.I3D_NAME,
    every: Annotated[int, typer.Option(help="Use every n-th frame of the real clips.")] = 1,
    num_frames: Annotated[
        int | None, typer.Option(help="Use the first n frames of each clip.", show_default="all")
    ] = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Compute Frechet Video Distance of two folders of clips; lower is better.

    Frames are resized to 224 x 224. At least 401 clips of each kind are needed; the paper uses 2,048.

    Example: pix2gif evaluate fvd ucf101/ generated/ --every 3 --num-frames 16 --i3d i3d_torchscript.pt
    """
    from training.evaluation.metrics.fvd import I3D, find_i3d
    from training.evaluation.metrics.on_folders import measure_fvd_of

    chosen = _prepare(device)
    network = I3D(find_i3d(i3d), chosen)
    values = measure_fvd_of(real, generated, network, every, num_frames, lambda note: typer.echo(f"Note: {note}"))
    options = {"real": real, "generated": generated, "i3d": i3d, "every": every, "num_frames": num_frames}
    _write("fvd", values, options, {"i3d": network.sha256}, chosen, out)
    typer.echo(f"FVD of {values['num_videos']} clips: {values['fvd']:.2f}")


@evaluate_app.command()
def clipsim(
    generated: Generated,
    captions: Annotated[Path, typer.Option(help="One line of clip, tab and caption for each clip; or a JSON object.")],
    clip: Annotated[str, typer.Option(help="CLIP: a folder or hub repository.")] = config.CLIPSIM_NAME,
    device: Device = None,
    out: Out = None,
) -> None:
    """Compute CLIPSim, the mean cosine similarity of frames and captions in CLIP's space; higher is better.

    Example: pix2gif evaluate clipsim generated/ --captions captions.tsv
    """
    from training.evaluation.metrics.networks import ClipEncoder
    from training.evaluation.metrics.on_folders import measure_clipsim_of

    chosen = _prepare(device)
    network = ClipEncoder(clip, chosen)
    values = measure_clipsim_of(generated, captions, network)
    options = {"generated": generated, "captions": captions, "clip": clip}
    _write("clipsim", values, options, {"clip": network.sha256}, chosen, out)
    typer.echo(f"CLIPSim of {values['num_clips']} clips: {values['clipsim']:.4f}")


@evaluate_app.command()
def pic(
    generated: Generated,
    sources: Sources = None,
    dreamsim: Annotated[
        Path | None, typer.Option(help="Folder of DreamSim's weights, which are downloaded if they are missing.")
    ] = None,
    device: Device = None,
    out: Out = None,
) -> None:
    """Compute PIC, the mean of 1 - DreamSim of source and frame; higher is better. Needs the package dreamsim.

    Example: pix2gif evaluate pic generated/ --sources inputs/ucf-101/
    """
    from training.evaluation.metrics.on_folders import measure_pic_of
    from training.evaluation.metrics.pic import load_dreamsim

    chosen = _prepare(device)
    network = load_dreamsim(chosen, dreamsim)
    values = measure_pic_of(generated, sources, network)
    options = {"generated": generated, "sources": sources, "dreamsim": dreamsim}
    _write("pic", values, options, {"dreamsim": network.sha256}, chosen, out)
    typer.echo(f"PIC of {values['num_clips']} clips: {values['pic']:.4f}")


@evaluate_app.command()
def motion(
    generated: Generated,
    motion: Annotated[str, typer.Option(help="Requested motion of each frame, in pixels at the frames' size.")] = (
        join_numbers(EVALUATION_MOTIONS_PX)
    ),
    sources: Sources = None,
    out: Out = None,
) -> None:
    """Measure motion coherency: how well the motion from source to frames follows the requested motion.

    Motion is measured as in the training data, averaged over the clips and compared with the requested motion: Pearson
    correlation (higher is better) and error in pixels (lower is better).

    Example: pix2gif evaluate motion generated/ --sources sources/ --motion 2,4,6,8,11,14,17,19
    """
    from training.evaluation.metrics.motion_coherency import measure_motion_of_folder

    requested = parse_numbers(motion, "--motion")
    coherency = measure_motion_of_folder(generated, sources, requested)
    options = {"generated": generated, "sources": sources, "motion": requested}
    _write("motion", dataclasses.asdict(coherency), options, {}, "cpu", out)
    typer.echo("requested px: " + " ".join(f"{number:6.2f}" for number in coherency.requested_px))
    typer.echo("measured px:  " + " ".join(f"{number:6.2f}" for number in coherency.measured_px))
    for name, agreement in (("averaged over", coherency.averaged), ("single frames of", coherency.single)):
        pearson = "undefined" if agreement.pearson is None else f"{agreement.pearson:.4f}"
        typer.echo(
            f"{name} {coherency.num_clips} clips: Pearson {pearson}, RMS {agreement.rms_px:.3f} px, "
            f"norm {agreement.norm_px:.3f} px"
        )


@evaluate_app.command()
def similarity(
    generated: Generated,
    sources: Sources = None,
    targets: Annotated[Path | None, typer.Option(help="Folder of the targets: image KEY.png or clip KEY.")] = None,
    clip: Annotated[str, typer.Option(help="CLIP: a folder or hub repository.")] = config.SIMILARITY_CLIP_NAME,
    x_clip: Annotated[str, typer.Option(help="X-CLIP: a folder or hub repository.")] = config.SIMILARITY_XCLIP_NAME,
    device: Device = None,
    out: Out = None,
) -> None:
    """Compute the cosine similarity of clips to their sources and targets, by X-CLIP and CLIP; higher is more similar.

    Example: pix2gif evaluate similarity generated/ --sources sources/ --targets targets/
    """
    from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
    from training.evaluation.metrics.on_folders import measure_similarity_of

    chosen = _prepare(device)
    networks = ClipEncoder(clip, chosen), XClipEncoder(x_clip, chosen)
    values = measure_similarity_of(generated, sources, targets, *networks)
    options = {"generated": generated, "sources": sources, "targets": targets, "clip": clip, "x_clip": x_clip}
    hashes = {"clip": networks[0].sha256, "x_clip": networks[1].sha256}
    _write("similarity", values, options, hashes, chosen, out)
    scores = [f"{side} score {values[side]:.4f}" for side in ("source", "target") if side in values]
    typer.echo(f"Similarity of {values['num_clips']} clips: {', '.join(scores)}")


evaluate_app.command()(table1)
evaluate_app.command()(table2)
evaluate_app.command()(figure7)


def _prepare(device: str | None) -> "torch.device":
    """Silence the libraries, so that only the result is printed, and choose the device."""
    from training.runtime.devices import choose_device
    from training.runtime.libraries import silence_libraries

    silence_libraries()
    return choose_device(device)


def _write(
    measure: str,
    values: dict[str, Any],
    options: dict[str, Any],
    weights: dict[str, str],
    device: object,
    out: Path | None,
) -> None:
    from training.evaluation.tables.results import Result, write_result

    if out is not None:
        result = Result(measure=measure, values=values, config=options, weights=weights, device=str(device))
        write_result(result, out)
