"""The training loop: shards -> checkpoints, metrics and a model folder.

The same code runs alone, under torchrun and under `accelerate launch`. A step depends on the config and the position
in the data alone, so a resumed run equals an uninterrupted one to the bit.
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
from accelerate.utils import set_seed
from torch import Tensor

from shards.storage.atomic import write_atomically, write_folder_atomically
from shards.storage.ownership import OutputKind
from training.checkpoint.checkpoint import TrainingState
from training.checkpoint.resume import FINGERPRINTS, check_fingerprints
from training.data import Batch, BatchStream, LatentBatch
from training.model.factory import make_pipeline
from training.model.lora import merge_lora, save_lora
from training.model.pretrained.loading import MODEL_FOLDER
from training.model.saved import save_pipeline
from training.runtime.barrier import make_barrier
from training.runtime.devices import check_precision, choose_device
from training.runtime.guards import StopRequest, catch_stop_signals, check_finite_loss, check_run_folder
from training.runtime.metrics import METRICS_ENTRIES, MetricsLog
from training.runtime.throughput import Throughput
from training.trainer.config import TrainingConfig
from training.trainer.ema import averaged_weights, make_ema, step_ema
from training.trainer.flops import count_sample_flops
from training.trainer.flow_training import find_flow_weight, pop_figures
from training.trainer.loss_step import LossStep
from training.trainer.prefetch import Prefetcher
from training.trainer.run_state import RunState
from training.trainer.schedule import compute_learning_rate, set_learning_rate
from training.trainer.setup import (
    advise_on_memory,
    build_parts,
    check_latents,
    describe_data,
    describe_origin,
    find_checkpoint,
    fingerprint_parts,
    load_perceptual,
    make_data_config,
    make_optimizer,
    place_frozen_parts,
    tune_kernels,
)
from training.trainer.validation import Validation, has_validation_split

LORA_FOLDER = "lora"
"""The folder of a run that holds the U-Net's adapters, if it trains those."""

TRAINING_RUN = OutputKind(
    name="training run",
    record="config.json",
    fields=frozenset({"data", "model", "global_batch", "max_steps"}),
    entries=frozenset({"config.json", "checkpoints", "validation", MODEL_FOLDER, LORA_FOLDER, *METRICS_ENTRIES}),
)


class Trainer:
    """One run in the folder `out`."""

    def __init__(self, config: TrainingConfig, location: str, out: Path, *, resume: str = "latest") -> None:
        """Build the run, cheap checks first. Raises TrainingError, DataError or ModelError."""
        self.config, self.location, self.out = config, location, out
        check_run_folder(out, TRAINING_RUN)
        device = choose_device()
        check_precision(config.precision, device)
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            # Without cpu=True, accelerate ignores the other processes of torchrun on a machine without GPUs.
            cpu=device.type == "cpu",
            # Let gradients share the memory of the communication buckets instead of copying them.
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
        tune_kernels(config)
        self.wait = make_barrier()
        checkpoint = find_checkpoint(self.accelerator, self.wait, config, out / "checkpoints", resume)
        self.state = checkpoint.state if checkpoint else TrainingState(step=0, position=0)
        self.stream = BatchStream(
            make_data_config(config, location),
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            start_position=self.state.position,
        )
        self.fingerprints = {"data set": self.stream.data.dataset_sha256}
        if checkpoint:
            check_fingerprints(checkpoint.config, self.fingerprints, checkpoint.path)
        set_seed(config.seed)
        perceptual = load_perceptual(config, lambda note: self.accelerator.print(f"Note: {note}"))
        self.parts = build_parts(config)
        self.fingerprints |= fingerprint_parts(self.parts, perceptual)
        check_latents(self.stream.data, self.fingerprints, location)
        if checkpoint:
            check_fingerprints(checkpoint.config, self.fingerprints, checkpoint.path)
        self.model = self.parts.model.train()
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # Not in torch's stubs.
        if checkpoint:
            self.model.load_state_dict(checkpoint.tensors["model"])
        self.model.to(self.accelerator.device)
        self.placed_parts = place_frozen_parts(self.parts, config, self.accelerator.device)
        self.loss_step = LossStep(config, self.placed_parts, perceptual, self.accelerator.device)
        self.validation = self._open_validation()
        self.ema = make_ema(self.model, decay=config.ema_decay, on_cpu=config.ema_on_cpu)
        optimizer = make_optimizer(config, self.model.trained_parameters())
        if config.compile:
            # In place, so that names in checkpoints do not change. Gradients of a U-Net compiled whole were wrong.
            self.model.unet.compile_repeated_blocks(fullgraph=True)
            self.placed_parts.vae.encoder.compile()
        self.wrapped_model, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        self.run_state = RunState(
            model=self.model, optimizer=self.optimizer, ema=self.ema, scaler=self.accelerator.scaler
        )
        if checkpoint:
            self.run_state.restore(checkpoint)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return bool(self.accelerator.is_main_process)

    @property
    def num_processes(self) -> int:
        """Number of processes that share each global batch."""
        return int(self.accelerator.num_processes)

    def train(self, *, num_steps: int | None = None) -> TrainingState:
        """Train to the last step, or for `num_steps`, or until a stop signal; save, and return the state.

        Raises TrainingError if a loss is not finite or the device is out of memory.
        """
        config = self.config
        last_step = config.max_steps if num_steps is None else min(config.max_steps, self.state.step + num_steps)
        self._write_config()
        throughput = Throughput(self.accelerator.device, config.precision, num_devices=self.num_processes)
        with (
            self.stream,
            catch_stop_signals() as stop,
            advise_on_memory(config),
            MetricsLog(
                self.out,
                self.state.step,
                config.max_steps,
                enabled=self.is_main,
                wandb_project=config.wandb_project,
                config=dataclasses.asdict(config),
            ) as metrics,
        ):
            batches = self.start_prefetch(last_step - self.state.step, throughput)
            is_stopping = False
            while self.state.step < last_step and not is_stopping:
                values, is_stopping = self.take_step(batches, stop)
                step = self.state.step + 1
                self.state = TrainingState(step=step, position=self.state.position + config.global_batch)
                throughput.count(config.global_batch)
                metrics.show_progress(step, values["loss"])
                is_validated = config.validate_every > 0 and step % config.validate_every == 0
                if is_validated:
                    with throughput.paused():
                        if self.validation is not None:
                            values |= self.validation.run(step, self.ema, metrics)
                        self.wait()
                if step % config.log_every == 0 or step == last_step or is_validated:
                    readings = throughput.read()
                    if step <= config.flow_warmup_steps:  # The count of FLOPs includes the U-Net.
                        readings.pop("mfu", None)
                    metrics.log(step, **values, **readings)
                if step % config.checkpoint_every == 0 and step < last_step:
                    with throughput.paused():
                        self.save()
        self.save()
        if self.state.step == config.max_steps:
            self._write_model()
        return self.state

    def start_prefetch(self, num_steps: int, throughput: Throughput) -> Prefetcher:
        """Return this rank's micro-batches of `num_steps` steps. Counts a sample's FLOPs if MFU can be computed."""
        batches: Iterator[Batch | LatentBatch] = itertools.islice(self.stream, num_steps * self.stream.batches_per_step)
        if num_steps and throughput.peak_flops is not None:
            first = next(batches)
            throughput.flops_per_sample = count_sample_flops(self.model, self.loss_step, first)
            batches = itertools.chain([first], batches)
        return Prefetcher(batches, self.loss_step, throughput)

    def take_step(self, batches: Prefetcher, stop: StopRequest) -> tuple[dict[str, float], bool]:
        """Take one optimizer step. Returns means over all ranks by name, and whether any rank was asked to stop."""
        is_warming_up = self.state.step < self.config.flow_warmup_steps
        losses, positions = self._accumulate_gradients(batches, is_warming_up)
        if is_warming_up:
            self._average_gradients()
        norm = self.accelerator.clip_grad_norm_(self.model.trained_parameters(), self.config.max_grad_norm or math.inf)
        # A signal may reach one rank alone, but all must stop at the same step.
        stopping = torch.full_like(norm, float(stop.received))
        values = self._mean_over_ranks({**losses, "grad_norm": norm, "stopping": stopping})
        is_stopping = values.pop("stopping") > 0
        values |= pop_figures(values)
        # The scaler of fp16 skips steps whose gradients overflow.
        checked = ("loss",) if self.accelerator.scaler is not None else ("loss", "grad_norm")
        record = self.out / f"not-a-number-{self.accelerator.process_index}.json"
        check_finite_loss({name: values[name] for name in checked}, self.state.step + 1, positions, record)
        values["learning_rate"] = compute_learning_rate(self.config, self.state.step)
        set_learning_rate(self.optimizer, values["learning_rate"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        step_ema(self.ema, self.model, on_cpu=self.config.ema_on_cpu)
        return values, is_stopping

    def _accumulate_gradients(self, batches: Prefetcher, is_warming_up: bool) -> tuple[dict[str, Tensor], list[int]]:
        """Run this rank's share of the global batch; returns its mean losses by name and its positions.

        Does not wait for the device. In the flow warm-up, the gradients are those of this rank alone.
        """
        share = self.config.global_batch // self.num_processes
        flow_weight = find_flow_weight(self.config, self.state.step)
        sums: dict[str, Tensor] = {}
        positions: list[int] = []
        while len(positions) < share:
            inputs = next(batches)
            positions += inputs.positions
            is_last = len(positions) >= share
            # Ranks exchange gradients once a step, with the last micro-batch.
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.wrapped_model):
                if is_warming_up:  # The wrapper would wait for gradients of the U-Net.
                    losses = self.loss_step.warm_up(self.model, inputs)
                else:
                    losses = self.loss_step(self.wrapped_model, inputs, flow_weight)
                self.accelerator.backward(losses.total.sum() / share)
            for name, value in losses.by_name().items():
                total = value.detach().sum()
                sums[name] = sums[name] + total if name in sums else total
            batches.prefetch()
        return {name: value / share for name, value in sums.items()}, positions

    def _average_gradients(self) -> None:
        """Replace the gradients by their means over the ranks, as the wrapped model does after the flow warm-up."""
        if self.num_processes > 1:
            for parameter in self.model.trained_parameters():
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")

    def _mean_over_ranks(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Return the means of scalars over the ranks. Waits for the device, once for all values."""
        stacked = torch.stack([value.float() for value in values.values()])
        means = self.accelerator.reduce(stacked, reduction="mean")
        return dict(zip(values, means.tolist(), strict=True))

    def save(self) -> None:
        """Write a checkpoint on the main process; the others wait."""
        if self.is_main:
            config = {**dataclasses.asdict(self.config), FINGERPRINTS: self.fingerprints}
            self.run_state.save(self.out / "checkpoints", self.state, config, self.config.keep_checkpoints)
        self.wait()

    def _open_validation(self) -> Validation | None:
        """Return what the main process validates by; None on the others, and if there is nothing to validate on."""
        if self.config.validate_every and not has_validation_split(self.stream.data):
            self.accelerator.print(f"Note: {self.location} has no val split, so there is no validation")
            return None
        if not self.config.validate_every or not self.is_main:
            return None
        return Validation(self.config, self.location, self.placed_parts, self.loss_step, self.out / "validation")

    def _write_model(self) -> None:
        """Write the averaged weights and the unrounded frozen parts, for `load_pipeline` and for diffusers alone."""
        if self.is_main:
            with averaged_weights(self.model, self.ema), write_folder_atomically(self.out / MODEL_FOLDER) as temporary:
                pipeline = make_pipeline(self.parts, describe_data(self.stream))
                if self.config.lora_rank is not None:
                    save_lora(pipeline.unet, self.out / LORA_FOLDER)
                    pipeline.unet = merge_lora(pipeline.unet)
                save_pipeline(pipeline, temporary, describe_origin(self.config, self.state.step))
        self.wait()

    def _write_config(self) -> None:
        if self.is_main:
            with write_atomically(self.out / "config.json") as temporary:
                fields = {"data": self.location, **dataclasses.asdict(self.config)}
                temporary.write_text(json.dumps(fields, indent=2) + "\n")
