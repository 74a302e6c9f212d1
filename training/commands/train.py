"""`pix2gif train`: a data set or a latent cache -> a run's folder with checkpoints, metrics and the model."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from shards.interface.command_options import with_options
from training.trainer.config import DEFAULT_PRESET, resolve_config

_model = functools.partial(typer.Option, rich_help_panel="Model")
_optimization = functools.partial(typer.Option, rich_help_panel="Optimization")
_speed = functools.partial(typer.Option, rich_help_panel="Memory and speed")
_records = functools.partial(typer.Option, rich_help_panel="Records")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options that override fields of the training config; None keeps the value of the preset or the config file."""

    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None
    global_batch: Annotated[int | None, typer.Option(help="Samples per step, over all processes.")] = None
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None
    variant: Annotated[
        str | None,
        _model(
            help="full (the paper), base (no motion), motion-embed (motion as a token, no warp), or the paper's "
            "ablations warp, warp-add and warp-concat.  [default: full]",
        ),
    ] = None
    pretrained: Annotated[
        str | None,
        _model(
            help="Stable Diffusion to start from: a folder, a hub name, or a .safetensors or .ckpt file.",
        ),
    ] = None
    single_file_config: Annotated[
        str | None,
        _model(help="Folder with the configs and the tokenizer for such a file, without the hub."),
    ] = None
    autoencoder: Annotated[str | None, _model(help="Folder or hub name of another autoencoder.")] = None
    perceptual_weights: Annotated[str | None, _model(help="VGG19's weights: a file, folder or hub name.")] = None
    lora_rank: Annotated[
        int | None,
        _model(help="Train adapters of this rank for the U-Net instead of all its weights."),
    ] = None
    learning_rate: Annotated[float | None, _optimization(help="Learning rate of AdamW after the warm-up.")] = None
    lr_schedule: Annotated[str | None, _optimization(help="After the warm-up: constant, linear or cosine.")] = None
    optimizer: Annotated[str | None, _optimization(help="adamw, or adamw-8bit (a quarter of the memory).")] = None
    warmup_steps: Annotated[int | None, _optimization(help="Steps of linear warm-up.")] = None
    flow_warmup_steps: Annotated[
        int | None,
        _optimization(
            help="Steps before the training in which only the warping module learns, to reproduce the target's latent."
        ),
    ] = None
    flow_loss_weight: Annotated[
        float | None,
        _optimization(help="Weight of the same error in the loss after the flow warm-up."),
    ] = None
    max_grad_norm: Annotated[float | None, _optimization(help="Clip gradients to this norm.")] = None
    snr_gamma: Annotated[float | None, _optimization(help="Weight timesteps by min(SNR, gamma) / SNR.")] = None
    micro_batch: Annotated[int | None, _speed(help="Samples per forward pass of a process.")] = None
    precision: Annotated[str | None, _speed(help="no (float32), bf16 or fp16.")] = None
    gradient_checkpointing: Annotated[
        bool | None,
        _speed(
            "--gradient-checkpointing",
            help="Half the memory for a third more time.",
        ),
    ] = None
    ema_on_cpu: Annotated[
        bool | None,
        _speed("--ema-on-cpu", help="Keep the averaged weights in the CPU's memory."),
    ] = None
    compile: Annotated[
        bool | None,
        _speed(
            "--compile/--no-compile",
            help="Compile the U-Net's blocks and the encoder.",
        ),
    ] = None
    num_workers: Annotated[int | None, _speed(help="Data worker processes per rank.")] = None
    checkpoint_every: Annotated[int | None, _records(help="Steps between checkpoints.")] = None
    validate_every: Annotated[int | None, _records(help="Steps between validations; 0 for none.")] = None
    wandb_project: Annotated[str | None, _records(help="Also log to this project of Weights & Biases.")] = None

    def overrides(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}


@with_options(TrainingOptions)
def train(
    shards: Annotated[
        str, typer.Argument(help="A finished data set or a latent cache: a folder, http(s)://, s3:// or gs://.")
    ],
    out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, metrics, validation GIFs, the model.")],
    options: TrainingOptions,
    preset: Annotated[
        str,
        typer.Option(
            help="card80 or card24 (GPUs with 80 or 24 GB), paper (float32), authors (the authors' code), tiny (CPU)."
        ),
    ] = DEFAULT_PRESET,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with any field of the training config. Options override it.")
    ] = None,
    resume: Annotated[str, typer.Option(help="latest, none, or the path of a checkpoint.")] = "latest",
) -> None:
    """Train Pix2Gif on shards.

    Without --pretrained and --perceptual-weights it downloads Stable Diffusion 1.5 and VGG19, about 5 GB. The default
    preset, card80, needs a GPU with 80 GB; card24 one with 24 GB; tiny trains random weights on a CPU.

    The same command resumes a stopped run. SIGTERM and SIGUSR1 save a checkpoint and stop it.

    Several GPUs: torchrun --nproc-per-node 8 --no-python pix2gif train shards/ --out run/

    Example: pix2gif train shards/ --preset tiny --out run/
    """
    resolved = resolve_config(preset, config, options.overrides())
    from training.runtime.libraries import silence_libraries
    from training.trainer.trainer import Trainer

    silence_libraries()
    trainer = Trainer(resolved, shards, out, resume=resume)
    state = trainer.train()
    if trainer.is_main:
        processes = f"{trainer.num_processes} process{'es' if trainer.num_processes > 1 else ''}"
        typer.echo(f"Step {state.step} of {resolved.max_steps} on {processes}; the run is in {out}.")
