"""The tuning loop: tunes the query matrices and the temporal attention of an inflated model on one clip.

A step is the whole clip at one timestep. Its random numbers depend only on the config and the step's number, so a
resumed run equals an uninterrupted one.
"""

import contextlib
import dataclasses
import json
from pathlib import Path

import torch
from accelerate import Accelerator

from shards.storage.atomic import write_atomically
from shards.storage.ownership import OutputKind
from training.checkpoint.checkpoint import Checkpoint, TrainingState, load_checkpoint, resolve_resume, save_checkpoint
from training.checkpoint.resume import FINGERPRINTS, check_fingerprints, list_changes, restore_optimizer
from training.errors import TrainingError
from training.giftune.clip import CLIP_FILE, Clip, read_clip, write_clip, write_clip_gif
from training.giftune.config import GifTuneConfig
from training.giftune.depth import Disparity, load_depth_model
from training.giftune.model import TunedModel, make_tuned_model
from training.giftune.step import TuneStep
from training.runtime.devices import choose_device
from training.runtime.guards import (
    catch_stop_signals,
    check_finite_loss,
    check_run_folder,
    explain_out_of_memory,
)
from training.runtime.metrics import METRICS_ENTRIES, MetricsLog
from training.runtime.throughput import Throughput

CONFIG_FILE = "config.json"
_FIXED = ("random_size", "resolution", "num_frames", "first_frame", "frame_step", "seed")
"""Fields of the config that a resumed run cannot change: they decide the clip or the random numbers."""

TUNING_RUN = OutputKind(
    name="GIF-Tune run",
    record=CONFIG_FILE,
    fields=frozenset({"model", "num_frames", "inversion_steps", "max_steps"}),
    entries=frozenset({CONFIG_FILE, CLIP_FILE, "checkpoints", "validation", "inversions", *METRICS_ENTRIES}),
)


class Tuner:
    """A tuning run in the folder `out`."""

    def __init__(
        self,
        config: GifTuneConfig,
        clip: Clip,
        out: Path,
        *,
        resume: str = "latest",
        disparity: Disparity | None = None,
    ) -> None:
        """Load the models, and the checkpoint that `resume` names: latest, none or a path.

        `disparity` replaces the config's depth model. Raises TrainingError; cheap checks come first.
        """
        self.config, self.clip, self.out = config, clip, out
        check_run_folder(out, TUNING_RUN)
        checkpoint = self._find_checkpoint(resume)
        if resume == "latest" and (out / CLIP_FILE).exists() and not read_clip(out).is_same_as(clip):
            raise TrainingError(
                f"{out} holds a run with another GIF, caption or choice of frames; choose another --out, or replace it "
                "with --resume none"
            )
        device = choose_device()
        self.tuned = make_tuned_model(config, clip, device)
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=device.type == "cpu")
        if self.accelerator.num_processes > 1:
            raise TrainingError("GIF-Tune runs in a single process; start the command without torchrun")
        if not config.background_weight:
            disparity = None
        elif disparity is None and config.depth_model is not None:
            disparity = load_depth_model(config.depth_model).to(self.accelerator.device)
        self.state = checkpoint.state if checkpoint else TrainingState(step=0, position=0)
        self.trained = self.tuned.model.trained_parameters()
        if checkpoint:
            restore_weights(self.tuned, checkpoint)
        self.step = TuneStep(self.tuned, disparity)
        optimizer = torch.optim.AdamW(
            self.trained.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.model, self.optimizer = self.accelerator.prepare(self.tuned.model.train(), optimizer)
        if checkpoint:
            restore_optimizer(self.optimizer, checkpoint.parts["optimizer"])
            if self.accelerator.scaler is not None and checkpoint.parts["scaler"]:
                self.accelerator.scaler.load_state_dict(checkpoint.parts["scaler"])

    def tune(self, *, num_steps: int | None = None) -> TrainingState:
        """Run to the last step, or for `num_steps` steps, and write a checkpoint. A stop signal ends the run early.

        Raises TrainingError if a loss is not finite or the device runs out of memory.
        """
        config = self.config
        last = config.max_steps if num_steps is None else min(config.max_steps, self.state.step + num_steps)
        self._write_run()
        throughput = Throughput(self.accelerator.device, config.precision)
        metrics = MetricsLog(
            self.out,
            self.state.step,
            config.max_steps,
            wandb_project=config.wandb_project,
            config=dataclasses.asdict(config),
        )
        with catch_stop_signals() as stop, self._explain_out_of_memory(), metrics:
            while self.state.step < last and not stop.received:
                values = self._optimizer_step()
                throughput.count(len(self.clip.frames))
                step = self.state.step + 1
                self.state = TrainingState(step=step, position=step)
                metrics.show_progress(step, values["loss"])
                if step % config.log_every == 0 or step == last:
                    metrics.log(step, **values, images_per_s=throughput.read()["images_per_s"])
                with throughput.paused():
                    if config.validate_every and step % config.validate_every == 0:
                        self._validate(step)
                    if step % config.checkpoint_every == 0 and step < last:
                        self.save()
        self.save()
        return self.state

    def _optimizer_step(self) -> dict[str, float]:
        losses = self.step(self.model, self.state.step)
        self.accelerator.backward(losses.total)
        norm = float(self.accelerator.clip_grad_norm_(self.trained.values(), self.config.max_grad_norm))
        values = losses.to_metrics()
        # With fp16, gradients may overflow; the scaler skips such steps.
        checked = values if self.accelerator.scaler is not None else {**values, "grad_norm": norm}
        check_finite_loss(checked, self.state.step + 1)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {**values, "grad_norm": norm, "learning_rate": self.config.learning_rate}

    def save(self) -> None:
        """Write a checkpoint of the trained parameters, with the fingerprints of the parts that they belong to."""
        scaler = self.accelerator.scaler
        save_checkpoint(
            self.out / "checkpoints",
            self.state,
            parts={
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
            },
            tensors={"model": {name: parameter.detach() for name, parameter in self.trained.items()}},
            config={**dataclasses.asdict(self.config), FINGERPRINTS: self.tuned.fingerprints},
            keep=self.config.keep_checkpoints,
        )

    def _find_checkpoint(self, resume: str) -> Checkpoint | None:
        path, damaged = resolve_resume(self.out / "checkpoints", resume)
        for error in damaged:
            print(f"skipped: {error}")
        if path is None:
            return None
        checkpoint = load_checkpoint(path)
        changes = list_changes(checkpoint.config, self.config, _FIXED, path)
        print(f"resumed from {path}, step {checkpoint.state.step}")
        for change in changes:
            print(f"changed since then: {change}")
        return checkpoint

    def _validate(self, step: int) -> None:
        """Write the GIF that `pix2gif giftune sample` would give at this step."""
        config = self.config
        self.tuned.model.eval()
        noise = self.tuned.invert(config.inversion_steps)
        prompt = config.validation_prompt or self.clip.prompt
        frames = self.tuned.sample(noise, prompt, guidance=config.guidance, num_steps=config.inversion_steps)
        write_clip_gif(self.out / "validation" / f"step-{step:08d}.gif", frames, self.clip.durations_ms)
        self.tuned.model.train()

    def _write_run(self) -> None:
        """Write the clip and the config, which `invert` and `sample` need besides a checkpoint."""
        write_clip(self.out, self.clip)
        with write_atomically(self.out / CONFIG_FILE) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self.config), indent=2) + "\n")

    def _explain_out_of_memory(self) -> contextlib.AbstractContextManager[None]:
        config = self.config
        options = {
            "--gradient-checkpointing": not config.gradient_checkpointing,
            "--precision fp16": config.precision == "no",
            "--frames-at-once 1": config.frames_at_once > 1,
            f"--num-frames {len(self.clip.frames) // 2}": len(self.clip.frames) > 8,
        }
        return explain_out_of_memory(f"{len(self.clip.frames)} frames of {config.resolution} pixels", options)


def restore_weights(tuned: TunedModel, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights to a model. Raises TrainingError if they belong to another image model or clip."""
    check_fingerprints(checkpoint.config, tuned.fingerprints, checkpoint.path)
    with torch.no_grad():
        for name, parameter in tuned.model.trained_parameters().items():
            parameter.copy_(checkpoint.tensors["model"][name])
