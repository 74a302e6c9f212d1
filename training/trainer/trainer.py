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
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, set_seed
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from shards.atomic import write_atomically
from training.checkpoint.checkpoint import Checkpoint, TrainingState, load_checkpoint, resolve_resume, save_checkpoint
from training.data import Batch, BatchStream, LatentBatch
from training.model.factory import make_pipeline
from training.runtime.devices import DTYPES, choose_device
from training.runtime.guards import StopRequest, catch_stop_signals, check_finite_loss, check_same_run
from training.runtime.metrics import MetricsLog
from training.runtime.rng_state import get_rng_state, set_rng_state
from training.runtime.throughput import Throughput
from training.trainer.config import TrainingConfig
from training.trainer.flops import count_sample_flops
from training.trainer.loss_step import LossStep
from training.trainer.prefetch import Feed
from training.trainer.preview import averaged_weights, draw_preview
from training.trainer.setup import (
    build_parts,
    choose_kernels,
    load_perceptual,
    make_data_config,
    sentence_for_out_of_memory,
)

FIXED_FIELDS = ("model", "random_size", "global_batch", "seed", "flip")
"""Fields of the config that a resumed run cannot change: they decide the model or the order of the data."""


class Trainer:
    """One run in the folder `out`: its parts, its loop, its checkpoints."""

    def __init__(self, config: TrainingConfig, location: str, out: Path, *, resume: str = "latest") -> None:
        """Build everything. Raises TrainingError, DataError or ModelError, what costs least first."""
        self.config, self.location, self.out = config, location, out
        # Without cpu=True accelerate does not see that torchrun started several processes on a machine without GPUs.
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            cpu=choose_device().type == "cpu",
            # Else gradients are there twice, and copied.
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
        choose_kernels(config)
        checkpoint = self._find_checkpoint(resume)
        self.state = checkpoint.state if checkpoint else TrainingState(step=0, position=0)
        self.stream = BatchStream(
            make_data_config(config, location),
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
        self.loss_step = LossStep(config, self.parts, perceptual, device, DTYPES[config.precision])
        parameters = self.model.trained_parameters()
        self.ema = EMAModel(parameters, decay=config.ema_decay, foreach=True)
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        # Not prepared by accelerate, which would step it once for each process.
        self.schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, config.warmup_steps)))
        if config.compile:
            self.model.unet.compile()  # In place, so that the names in checkpoints stay what they are.
            self.parts.vae.encoder.compile()
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
            catch_stop_signals() as stop,
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
            feed = Feed(batches, self.loss_step, throughput)
            stopping = False
            while self.state.step < last and not stopping:
                step = self.state.step + 1
                figures, stopping = self.take_step(feed, stop, is_last=step == last)
                self.state = TrainingState(step=step, position=self.state.position + config.global_batch)
                throughput.count(config.global_batch)
                metrics.show_progress(step, figures["loss"])
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
        throughput.flops_per_sample = count_sample_flops(self.model, self.loss_step, first)
        return itertools.chain([first], batches)

    def take_step(self, feed: Feed, stop: StopRequest, *, is_last: bool) -> tuple[dict[str, float], bool]:
        """Take one optimizer step over this rank's share of the global batch.

        Returns what it cost, over all ranks, and whether any of them was asked to stop. Waits for the device once.
        """
        share = self.config.global_batch // self.accelerator.num_processes
        sums: dict[str, Tensor] = {}
        positions: list[int] = []
        while len(positions) < share:
            inputs = feed.take()
            positions += inputs.positions
            ends = len(positions) >= share
            # Gradients cross between ranks once, with the last micro-batch.
            with contextlib.nullcontext() if ends else self.accelerator.no_sync(self.wrapped):
                losses = self.loss_step(self.wrapped, inputs)
                self.accelerator.backward(losses.total.sum() / share)
            for name, value in losses.by_name().items():
                total = value.detach().sum()
                sums[name] = sums[name] + total if name in sums else total
            if not (ends and is_last):
                feed.look_ahead()
        norm = self.accelerator.clip_grad_norm_(self.model.trained_parameters(), self.config.max_grad_norm or math.inf)
        figures = self._mean_over_ranks({name: value / share for name, value in sums.items()}, norm, stop)
        stopping = figures.pop("stop") > 0
        record = self.out / f"not-a-number-{self.accelerator.process_index}.json"
        # A gradient that overflows in fp16 is the scaler's to skip.
        names = ("loss",) if self.accelerator.scaler is not None else ("loss", "grad_norm")
        check_finite_loss({name: figures[name] for name in names}, self.state.step + 1, positions, record)
        figures["learning_rate"] = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        self.ema.step(self.model.trained_parameters())
        return figures, stopping

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
                    "random": get_rng_state(),
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
            found[0], damaged = resolve_resume(self.out / "checkpoints", resume)
            for error in damaged:
                self.accelerator.print(f"skipped: {error}")
        path = broadcast_object_list(found)[0]
        if path is None:
            return None
        checkpoint = load_checkpoint(path)
        check_same_run(checkpoint.config, self.config, FIXED_FIELDS, path)
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
        set_rng_state(parts["random"])

    def _mean_over_ranks(self, losses: dict[str, Tensor], norm: Tensor, stop: StopRequest) -> dict[str, float]:
        """Bring all that the host must know of a step over in one piece: means over the ranks, by name.

        `stop` is more than 0 where any rank was asked: a signal may reach one alone, and all must stop at one step.
        """
        values = {**losses, "grad_norm": norm, "stop": torch.full_like(norm, float(stop.received))}
        means = self.accelerator.reduce(torch.stack([value.float() for value in values.values()]), reduction="mean")
        return dict(zip(values, means.tolist(), strict=True))

    def _validate(self, step: int) -> None:
        """Draw validation GIFs with the averaged weights, on the main process; the others wait."""
        if self.is_main and self.config.validation_clips:
            with averaged_weights(self.model, self.ema):
                draw_preview(self.parts, self.location, self.config, self.out / "validation" / f"step-{step:08d}.gif")
        self.accelerator.wait_for_everyone()

    def _write_model(self) -> None:
        """Write the averaged weights as a pipeline's folder, which others can load."""
        if self.is_main:
            with averaged_weights(self.model, self.ema):
                make_pipeline(self.parts).save_pretrained(self.out / "model")
        self.accelerator.wait_for_everyone()

    def _write_config(self) -> None:
        if self.is_main:
            with write_atomically(self.out / "config.json") as temporary:
                fields = {"data": self.location, **dataclasses.asdict(self.config)}
                temporary.write_text(json.dumps(fields, indent=2) + "\n")
