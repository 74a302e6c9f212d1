"""The training loop, read from top to bottom: shards in, checkpoints and a model folder out.

The same code runs alone, under torchrun and under `accelerate launch`. What a step does is a function of the config
and of the position in the data alone, so a run that was stopped and resumed is the run that was not.
"""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from shards.atomic import write_atomically
from training.checkpoint import (
    Checkpoint,
    TrainingState,
    generator_states,
    load_checkpoint,
    resolve_resume,
    restore_generator_states,
    save_checkpoint,
)
from training.config import TrainingConfig
from training.data import Batch, BatchStream, DataConfig, LatentBatch
from training.errors import TrainingError
from training.metrics import MetricsLog, Throughput, measure_flops
from training.model.factory import make_pipeline
from training.setup import (
    build_parts,
    load_perceptual,
    refuse_other_run,
    sentence_for_out_of_memory,
    stop_signals,
)
from training.step import LossStep
from training.validation import make_validation_gif

VALIDATION_MOTIONS = [2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 19.0]
"""The paper's list for 8 frames (Pix2Gif, section 4)."""
VALIDATION_STEPS = 20
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": torch.float32}


class Trainer:
    """One run in the folder `out`: its parts, its loop, its checkpoints."""

    def __init__(self, config: TrainingConfig, location: str, out: Path, *, resume: str = "latest") -> None:
        """Build everything. Raises TrainingError, DataError or ModelError, what costs least first."""
        self.config, self.location, self.out = config, location, out
        # Without cpu=True accelerate does not see that torchrun started several processes on a machine without GPUs.
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=not torch.cuda.is_available())
        checkpoint = self._find_checkpoint(resume)
        self.state = checkpoint.state if checkpoint else TrainingState(step=0, position=0)
        self.stream = BatchStream(
            DataConfig(
                location=location,
                seed=config.seed,
                global_batch=config.global_batch,
                micro_batch=config.micro_batch,
                num_workers=config.num_workers,
                resolution=config.resolution,
                flip=config.flip,
                cache=Path(config.cache) if config.cache else None,
                window_shards=config.window_shards,
                on_damage=config.on_damage,
                pin_memory=torch.cuda.is_available(),
            ),
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            start_position=self.state.position,
        )
        set_seed(config.seed)
        perceptual = load_perceptual(config)
        self.parts = build_parts(config)
        self.model = self.parts.model.train()
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # Stubs know no keyword alone.
        device = self.accelerator.device
        if checkpoint:
            self.model.load_state_dict(checkpoint.tensors["model"])
        self.model.to(device)
        self.loss_step = LossStep(config, self.parts, perceptual, device, _DTYPES[config.precision])
        parameters = self.model.trained_parameters()
        self.ema = EMAModel(parameters, decay=config.ema_decay)
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        # Not prepared by accelerate, which would step it once for each process.
        self.schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, config.warmup_steps)))
        if config.compile:
            self.model.unet.compile()  # In place, so that the names in checkpoints stay what they are.
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if checkpoint:
            self._restore(checkpoint)

    @property
    def is_main(self) -> bool:
        """Whether this process speaks for all of them."""
        return bool(self.accelerator.is_main_process)

    @property
    def num_processes(self) -> int:
        """How many share each global batch."""
        return int(self.accelerator.num_processes)

    def train(self, *, num_steps: int | None = None) -> TrainingState:
        """Run to the last step, or for `num_steps`; returns where it stands. A signal ends it after a step.

        Raises TrainingError where the loss is no number any more, or the device is out of memory.
        """
        config = self.config
        last = config.max_steps if num_steps is None else min(config.max_steps, self.state.step + num_steps)
        self._write_config()
        throughput = Throughput(self.accelerator.device, config.precision, num_devices=self.accelerator.num_processes)
        with (
            self.stream,
            stop_signals() as stop,
            sentence_for_out_of_memory(config),
            MetricsLog(
                self.out,
                self.state.step,
                config.max_steps,
                enabled=self.is_main,
                wandb_project=config.wandb_project,
                config=dataclasses.asdict(config),
            ) as metrics,
        ):
            batches = self._tell_flops(iter(self.stream), throughput)
            while self.state.step < last and not self._any_rank(stop.asked):
                figures = self._optimizer_step(batches, throughput)
                step = self.state.step + 1
                self.state = TrainingState(step=step, position=self.state.position + config.global_batch)
                metrics.progress(step, figures["loss"])
                if step % config.log_every == 0 or step == last:
                    metrics.log(step, **figures, **throughput.read())
                with throughput.paused():
                    if config.validate_every and step % config.validate_every == 0:
                        self._validate(step)
                    if step % config.checkpoint_every == 0 and step < last:
                        self.save()
        self.save()
        if self.state.step == config.max_steps:
            self._write_model()
        return self.state

    def _tell_flops(
        self, batches: Iterator[Batch | LatentBatch], throughput: Throughput
    ) -> Iterator[Batch | LatentBatch]:
        """Count a sample's operations on the first batch, where the device's peak is known and MFU can be told."""
        if throughput.peak_flops is None:
            return batches
        first = next(batches)

        def once() -> None:
            self.loss_step(self.model, first).total.sum().backward()  # type: ignore[no-untyped-call]

        throughput.flops_per_sample = measure_flops(once) // len(first)
        self.model.zero_grad(set_to_none=True)
        return itertools.chain([first], batches)

    def _optimizer_step(self, batches: Iterator[Batch | LatentBatch], throughput: Throughput) -> dict[str, float]:
        """Take one optimizer step over this rank's share of the global batch; returns what it cost, over all ranks."""
        share = self.config.global_batch // self.accelerator.num_processes
        sums: dict[str, Tensor] = {}
        done = 0
        positions: list[int] = []
        while done < share:
            with throughput.waiting():
                batch = next(batches)
            done += len(batch)
            positions += batch.positions.tolist()
            # Gradients cross between ranks once, with the last micro-batch.
            with contextlib.nullcontext() if done == share else self.accelerator.no_sync(self.wrapped):
                losses = self.loss_step(self.wrapped, batch)
                self.accelerator.backward(losses.total.sum() / share)
            for name, value in (
                ("loss", losses.total),
                ("noise_loss", losses.noise),
                ("perceptual_loss", losses.perceptual),
            ):
                if value is not None:
                    sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach().sum()
        figures = self._mean_over_ranks(sums, share)
        if not math.isfinite(figures["loss"]):
            raise self._not_a_number(positions)
        norm = self.accelerator.clip_grad_norm_(self.model.trained_parameters(), self.config.max_grad_norm or math.inf)
        figures |= {"grad_norm": float(norm), "learning_rate": float(self.schedule.get_last_lr()[0])}
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        self.ema.step(self.model.trained_parameters())
        throughput.count(share * self.accelerator.num_processes)
        return figures

    def save(self) -> None:
        """Write a checkpoint; all ranks wait for it."""
        if self.is_main:
            ema = self.ema.state_dict()
            shadow = ema.pop("shadow_params")
            scaler = self.accelerator.scaler
            save_checkpoint(
                self.out / "checkpoints",
                self.state,
                parts={
                    "optimizer": self.optimizer.state_dict(),
                    "lr_scheduler": self.schedule.state_dict(),
                    "ema": ema,
                    "scaler": scaler.state_dict() if scaler is not None else {},
                    "random": generator_states(),
                },
                tensors={
                    "model": {name: tensor.detach() for name, tensor in self.model.state_dict().items()},
                    "ema": {f"{number:05d}": tensor for number, tensor in enumerate(shadow)},
                },
                config=dataclasses.asdict(self.config),
                keep=self.config.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()

    def _find_checkpoint(self, resume: str) -> Checkpoint | None:
        # One process reads every byte to see that it is whole, and tells the others which it is.
        found: list[Path | None] = [None]
        if self.is_main:
            found[0], passed_over = resolve_resume(self.out / "checkpoints", resume)
            for torn, reason in passed_over:
                self.accelerator.print(f"{torn} is not whole and was passed over: {reason}")
        path = broadcast_object_list(found)[0]
        if path is None:
            return None
        checkpoint = load_checkpoint(path)
        refuse_other_run(checkpoint.config, self.config, path)
        self.accelerator.print(f"resumed from {path}, step {checkpoint.state.step}")
        return checkpoint

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Put optimizer, schedule, average and generators where they stood; the weights are there already."""
        parts = checkpoint.parts
        self.optimizer.load_state_dict(parts["optimizer"])
        self.schedule.load_state_dict(parts["lr_scheduler"])
        shadow = [checkpoint.tensors["ema"][name] for name in sorted(checkpoint.tensors["ema"])]
        self.ema.load_state_dict({**parts["ema"], "shadow_params": shadow})
        self.ema.to(self.accelerator.device)
        if self.accelerator.scaler is not None and parts["scaler"]:
            self.accelerator.scaler.load_state_dict(parts["scaler"])
        restore_generator_states(parts["random"])

    def _mean_over_ranks(self, sums: dict[str, Tensor], share: int) -> dict[str, float]:
        """Means over the global batch; a name that no variant computes is not there."""
        stacked = torch.stack([value.float() for value in sums.values()]) / share
        means = self.accelerator.reduce(stacked, reduction="mean")
        return dict(zip(sums, means.tolist(), strict=True))

    def _any_rank(self, asked: bool) -> bool:
        """Whether any rank was asked: a signal may reach one alone, and all must stop at the same step."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum").item() > 0)

    def _not_a_number(self, positions: list[int]) -> TrainingError:
        """Note which samples did it; the last checkpoint stays as it is."""
        path = self.out / f"not-a-number-{self.accelerator.process_index}.json"
        note = {"step": self.state.step, "positions": positions, "rank": self.accelerator.process_index}
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(note))
        return TrainingError(
            f"the loss is not a number at step {self.state.step + 1}; the last checkpoint is kept, {path} names the "
            "samples: resume with a lower learning rate, --max-grad-norm 1 or --precision bf16"
        )

    def _validate(self, step: int) -> None:
        """Draw validation GIFs with the averaged weights, on the main process; the others wait."""
        if self.is_main and self.config.validation_clips:
            with self._averaged_weights():
                pipeline = make_pipeline(self.parts)
                pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
                sources, captions = self._validation_clips()
                path = self.out / "validation" / f"step-{step:08d}.gif"
                make_validation_gif(
                    pipeline,
                    sources,
                    captions,
                    VALIDATION_MOTIONS,
                    path,
                    seed=self.config.seed,
                    num_inference_steps=VALIDATION_STEPS,
                )
        self.accelerator.wait_for_everyone()

    def _validation_clips(self) -> tuple[list[Image.Image], list[str]]:
        """Read the same few samples at every call: their sources and captions; none of a latent cache."""
        num = self.config.validation_clips
        fixed = DataConfig(
            location=self.location, split="val", seed=0, global_batch=num, micro_batch=num, num_workers=0, flip=False
        )
        batch = next(iter(BatchStream(fixed, rank=0, world_size=1, start_position=0)))
        if not isinstance(batch, Batch):
            return [], []
        return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in batch.source], batch.captions

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        parameters = self.model.trained_parameters()
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        self.model.eval()
        try:
            yield
        finally:
            self.ema.restore(parameters)
            self.model.train()

    def _write_model(self) -> None:
        """Write the averaged weights as a pipeline's folder, which others can load."""
        if self.is_main:
            with self._averaged_weights():
                make_pipeline(self.parts).save_pretrained(self.out / "model")
        self.accelerator.wait_for_everyone()

    def _write_config(self) -> None:
        if self.is_main:
            with write_atomically(self.out / "config.json") as temporary:
                fields = {"data": self.location, **dataclasses.asdict(self.config)}
                temporary.write_text(json.dumps(fields, indent=2) + "\n")
