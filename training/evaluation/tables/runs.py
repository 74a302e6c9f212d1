"""Make Table 1, Table 2 and Figure 7: choose clips, get frames, measure them, write the results."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training.evaluation.config import GridConfig, SamplingConfig, Table1Config
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.val_pairs import draw_pairs
from training.evaluation.inputs.video_sets import FINDERS, draw_videos
from training.evaluation.metrics.fvd import I3D, find_i3d
from training.evaluation.metrics.networks import ClipEncoder
from training.evaluation.metrics.pic import load_dreamsim
from training.evaluation.tables import figure7, table1, table2
from training.evaluation.tables.frame_origins import FolderFrames, FrameOrigin, ModelFrames
from training.evaluation.tables.pair_grid import GridTable, format_scale, measure_grid
from training.evaluation.tables.plots import Plot, draw_plots
from training.evaluation.tables.ranks import join_ranks
from training.evaluation.tables.render import Table, write_table
from training.evaluation.tables.results import Result, write_result
from training.evaluation.tables.work_cache import WorkCache
from training.runtime.devices import choose_device
from training.runtime.libraries import silence_libraries

Echo = Callable[[str], None]
"""Prints a line for the user."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Methods:
    """The methods to compare, where their models run, and the folder for the results."""

    out: Path
    models: Mapping[str, str]
    """{name: folder or hub repository of a pipeline}."""
    frames: Mapping[str, Path]
    """{name: folder of another model's frames}."""
    device: str | None = None
    batch: int | None = None
    """Frames that a model generates at once; None means all of a clip."""

    def __post_init__(self) -> None:
        if not self.models and not self.frames:
            raise EvaluationError("there is nothing to evaluate: give a --model or --frames")

    @property
    def work(self) -> WorkCache:
        """The cache in OUT/work."""
        return WorkCache(self.out / "work")

    def make_origins(self, device: torch.device) -> list[FrameOrigin]:
        """Return the origin of each method's frames."""
        return [
            *(ModelFrames(name, model, self.work, device, self.batch) for name, model in self.models.items()),
            *(FolderFrames(name, folder) for name, folder in self.frames.items()),
        ]


def run_table1(
    methods: Methods,
    folders: Mapping[str, Path],
    config: Table1Config,
    sampling: SamplingConfig,
    weights: Mapping[str, str],
    echo: Echo,
) -> None:
    """Make Table 1 from the folders of `ucf-101`, of `msr-vtt`, or of both.

    `weights` has the locations of `i3d` and `clip`, and optionally the folder of the weights of `dreamsim`.
    """
    if not folders:
        raise EvaluationError("there is no data set: give --ucf101, --msrvtt, or both")
    silence_libraries()
    device = choose_device(methods.device)
    networks = table1.Networks(
        i3d=I3D(find_i3d(weights["i3d"]), device) if "fvd" in config.metrics else None,
        clip=ClipEncoder(weights["clip"], device) if "clipsim" in config.metrics else None,
        dreamsim=load_dreamsim(device, weights.get("dreamsim")) if "pic" in config.metrics else None,
    )
    with join_ranks() as ranks:
        origins = methods.make_origins(device)
        video_sets = []
        for name, folder in folders.items():
            clips = draw_videos(FINDERS[name](folder, config.seed), config.num_videos, config.min_frames, config.seed)
            video_set = table1.VideoSet(
                name=name, clips=clips, config=config, sampling=sampling, networks=networks, work=methods.work
            )
            if ranks.is_first:
                video_set.write_inputs(methods.out / "inputs" / name)
            video_sets.append(video_set)
        for video_set in video_sets:
            for origin in origins:
                origin.check([video_set.name], [clip.key for clip in video_set.clips])
        warnings: list[str] = []
        scores = table1.score_methods(video_sets, origins, ranks, warnings.append)
        if not ranks.is_first:
            return
        notes = list(dict.fromkeys(warnings))
        result = Result(
            measure="table1",
            values={
                name: {key: dataclasses.asdict(score) for key, score in row.items()} for name, row in scores.items()
            },
            config={
                "protocol": dataclasses.asdict(config),
                "sampling": dataclasses.asdict(sampling),
                "data_sets": {name: str(folder) for name, folder in folders.items()},
                "weights": dict(weights),
            },
            weights={"metrics": networks.hashes(), "methods": _describe(origins)},
            device=str(device),
        )
        _write(methods.out, result, table1.make_table(scores, notes), [], echo)
        for note in notes:
            echo(f"Note: {note}")


def run_table2(methods: Methods, shards: Path, config: GridConfig, sampling: SamplingConfig, echo: Echo) -> None:
    """Make Table 2, and the curve of measured over requested motion, from the val split of a data set."""
    silence_libraries()
    device = choose_device(methods.device)
    _run_grid(table2.make_grid_table(sampling.motion_px), methods, device, shards, config, sampling, echo)


def run_figure7(
    methods: Methods,
    shards: Path,
    config: GridConfig,
    sampling: SamplingConfig,
    weights: Mapping[str, str],
    echo: Echo,
) -> None:
    """Make Figure 7 from the val split of a data set; `weights` has the locations of `clip` and `x_clip`."""
    silence_libraries()
    device = choose_device(methods.device)
    _run_grid(figure7.make_grid_table(weights, device), methods, device, shards, config, sampling, echo)


def _run_grid(
    grid_table: GridTable,
    methods: Methods,
    device: torch.device,
    shards: Path,
    config: GridConfig,
    sampling: SamplingConfig,
    echo: Echo,
) -> None:
    pairs = draw_pairs(shards, config.num_pairs, config.seed, config.resolution)
    with join_ranks() as ranks:
        origins = methods.make_origins(device)
        for origin in origins:
            origin.check([format_scale(scale) for scale in config.image_guidance], [pair.key for pair in pairs])
        measured = measure_grid(pairs, origins, sampling, config, grid_table, methods.work, ranks)
        if not ranks.is_first:
            return
        report = grid_table.make_report(measured)
        result = Result(
            measure=grid_table.name,
            values=report.values,
            config={
                "protocol": dataclasses.asdict(config),
                "sampling": {**dataclasses.asdict(sampling), "image_guidance": list(config.image_guidance)},
                "shards": str(shards),
                "pairs": [pair.key for pair in pairs],
            },
            weights={**grid_table.networks, "methods": _describe(origins)},
            device=str(device),
        )
        _write(methods.out, result, report.table, report.plots, echo)


def _describe(origins: Sequence[FrameOrigin]) -> dict[str, Any]:
    return {origin.name: origin.describe() for origin in origins}


def _write(out: Path, result: Result, table: Table, plots: Sequence[Plot], echo: Echo) -> None:
    write_result(result, out / f"{result.measure}.json")
    write_table(table, out, result.measure)
    if plots:
        draw_plots(plots, out / f"{result.measure}.png")
    echo(f"{table.title}: {out / result.measure}.md, .csv, .tex and .json{' and .png' if plots else ''}.")
