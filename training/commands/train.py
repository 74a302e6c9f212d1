"""`pix2gif train`: a data set or a latent cache -> a run's folder with checkpoints, metrics and the model."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from shards.interface.command_options import with_options
from training.trainer.config import DEFAULT_PRESET, PRESETS, resolve_config

_MODEL, _OPTIMIZATION, _SPEED, _RECORDS = "Model", "Optimization", "Memory and speed", "Records"
_DEFAULTS = PRESETS[DEFAULT_PRESET]()


def _field(name: str, help_text: str, panel: str | None = None, *flags: str, default: str | None = None) -> Any:
    """Make an option for a field of the config, whose help shows the value of the default preset."""
    value = default or getattr(_DEFAULTS, name)
    is_shown = value is not None and value is not False
    text = f"{help_text}  [default: {'on' if value is True else value}]" if is_shown else help_text
    return typer.Option(*flags, help=text, show_default=False, rich_help_panel=panel)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options that override fields of the training config; None keeps the value of the preset or the config file."""

    max_steps: Annotated[int | None, _field("max_steps", "Optimizer steps.")] = None
    global_batch: Annotated[
        int | None,
        _field("global_batch", "Samples per step, over all processes; a multiple of processes x micro-batch."),
    ] = None
    seed: Annotated[int | None, _field("seed", "Random seed.")] = None
    variant: Annotated[
        str | None,
        _field(
            "model",
            "full (the paper), base (no motion), motion-embed (motion as a token, no warp), or the paper's ablations "
            "warp, warp-add and warp-concat.",
            _MODEL,
            default=_DEFAULTS.model.variant,
        ),
    ] = None
    pretrained: Annotated[
        str | None,
        _field(
            "pretrained",
            "Stable Diffusion to start from: a folder, a hub name, or a .safetensors or .ckpt file.",
            _MODEL,
        ),
    ] = None
    single_file_config: Annotated[
        str | None,
        _field(
            "single_file_config",
            "Folder with the configs and the tokenizer for such a file, without the hub.",
            _MODEL,
        ),
    ] = None
    autoencoder: Annotated[str | None, _field("autoencoder", "The autoencoder: a folder or hub name.", _MODEL)] = None
    perceptual_weights: Annotated[
        str | None, _field("perceptual_weights", "VGG19's weights: a file, folder or hub name.", _MODEL)
    ] = None
    lora_rank: Annotated[
        int | None,
        _field("lora_rank", "Train adapters of this rank for the U-Net instead of all its weights.", _MODEL),
    ] = None
    learning_rate: Annotated[
        float | None, _field("learning_rate", "Learning rate of AdamW after the warm-up.", _OPTIMIZATION)
    ] = None
    lr_schedule: Annotated[
        str | None, _field("lr_schedule", "After the warm-up: constant, linear or cosine.", _OPTIMIZATION)
    ] = None
    optimizer: Annotated[
        str | None, _field("optimizer", "adamw, or adamw-8bit (a quarter of the memory).", _OPTIMIZATION)
    ] = None
    warmup_steps: Annotated[int | None, _field("warmup_steps", "Steps of linear warm-up.", _OPTIMIZATION)] = None
    flow_warmup_steps: Annotated[
        int | None,
        _field(
            "flow_warmup_steps",
            "First steps, in which only the warping module learns, to warp the source to the target.",
            _OPTIMIZATION,
        ),
    ] = None
    flow_loss_weight: Annotated[
        float | None,
        _field(
            "flow_loss_weight",
            "Weight, in the loss, of the warped source's error to the target, after these steps.",
            _OPTIMIZATION,
        ),
    ] = None
    max_grad_norm: Annotated[float | None, _field("max_grad_norm", "Clip gradients to this norm.", _OPTIMIZATION)] = (
        None
    )
    snr_gamma: Annotated[
        float | None, _field("snr_gamma", "Weight timesteps by min(SNR, gamma) / SNR.", _OPTIMIZATION)
    ] = None
    micro_batch: Annotated[int | None, _field("micro_batch", "Samples per forward pass of a process.", _SPEED)] = None
    precision: Annotated[str | None, _field("precision", "no (float32), bf16 or fp16.", _SPEED)] = None
    gradient_checkpointing: Annotated[
        bool | None,
        _field(
            "gradient_checkpointing",
            "Recompute activations: less memory, more time.",
            _SPEED,
            "--gradient-checkpointing",
        ),
    ] = None
    ema_on_cpu: Annotated[
        bool | None, _field("ema_on_cpu", "Keep the averaged weights in the CPU's memory.", _SPEED, "--ema-on-cpu")
    ] = None
    compile: Annotated[
        bool | None, _field("compile", "Compile the U-Net's blocks and the encoder.", _SPEED, "--compile/--no-compile")
    ] = None
    num_workers: Annotated[int | None, _field("num_workers", "Data worker processes per rank.", _SPEED)] = None
    checkpoint_every: Annotated[int | None, _field("checkpoint_every", "Steps between checkpoints.", _RECORDS)] = None
    validate_every: Annotated[
        int | None, _field("validate_every", "Steps between validations; 0 for none.", _RECORDS)
    ] = None
    wandb_project: Annotated[
        str | None, _field("wandb_project", "Also log to this project of Weights & Biases.", _RECORDS)
    ] = None

    def overrides(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}


@with_options(TrainingOptions)
def train(
    shards: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="A finished data set or a latent cache: a folder, http(s)://, s3:// or gs://."
        ),
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

    The defaults below are those of card80. The same command resumes a stopped run. SIGTERM and SIGUSR1 save a
    checkpoint and stop it.

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
