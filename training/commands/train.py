"""`pix2gif train`: a data set or a latent cache -> a run's folder, with the model at its end."""

from pathlib import Path
from typing import Annotated

import typer

from training.trainer.config import resolve_config


def train(
    shards: Annotated[
        str, typer.Argument(help="A finished data set, or a latent cache: a folder, http(s)://, s3:// or gs://.")
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
    for name in ("shards", "out", "preset", "config", "resume"):
        given.pop(name, None)
    resolved = resolve_config(preset, config, given)
    from training.runtime.libraries import silence_libraries
    from training.trainer.trainer import Trainer

    silence_libraries()
    trainer = Trainer(resolved, shards, out, resume=resume)
    state = trainer.train()
    if trainer.is_main:
        processes = f"{trainer.num_processes} process{'es' if trainer.num_processes > 1 else ''}"
        typer.echo(f"Step {state.step} of {resolved.max_steps} on {processes}; the run is in {out}.")
