"""Table 1, Table 2 and Figure 7 from beginning to end: choose, generate, measure, write."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shards.progress import ProgressBar
from training.evaluation.config import GridConfig, SamplingConfig, Table1Config
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.val_pairs import draw_pairs
from training.evaluation.inputs.video_sets import FINDERS, choose_videos
from training.evaluation.metrics.fvd import I3D, find_i3d
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.pic import load_dreamsim
from training.evaluation.tables import figure7, table1, table2
from training.evaluation.tables.frame_origins import FolderFrames, FrameOrigin, ModelFrames
from training.evaluation.tables.pair_grid import Measure, measure_grid, place_of
from training.evaluation.tables.plots import Plot, draw_plots
from training.evaluation.tables.render import Table, write_table
from training.evaluation.tables.results import Result, write_result
from training.evaluation.tables.work_cache import Ranks, Work, join_ranks
from training.runtime.devices import choose_device
from training.runtime.libraries import silence_libraries

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run's frames come from, where its results go, and on what it runs."""

    out: Path
    models: Mapping[str, str]
    """Name: folder or hub name of a pipeline."""
    frames: Mapping[str, Path]
    """Name: folder of another model's frames."""
    device: str | None = None
    batch: int | None = None
    """Frames that a model makes at once; None for all of a clip."""

    def __post_init__(self) -> None:
        if not self.models and not self.frames:
            raise EvaluationError("there is nothing to evaluate: name a --model or --frames")


def run_table1(
    place: Place,
    folders: Mapping[str, Path],
    config: Table1Config,
    sampling: SamplingConfig,
    weights: Mapping[str, str],
    tell: Tell,
) -> None:
    """Make Table 1 from the folders of `ucf-101` and `msr-vtt`, or of one of them.

    `weights` names those of `i3d` and `clip`, and the folder of `dreamsim`'s if it is not its usual one.
    """
    if not folders:
        raise EvaluationError("there is no data set: name the folder of --ucf101, of --msrvtt, or of both")
    silence_libraries()
    device = choose_device(place.device)
    networks = table1.Networks(
        i3d=I3D(find_i3d(weights["i3d"]), device) if "fvd" in config.metrics else None,
        clip=ClipEncoder(weights["clip"], device) if "clipsim" in config.metrics else None,
        dreamsim=load_dreamsim(device, weights.get("dreamsim")) if "pic" in config.metrics else None,
    )
    with join_ranks() as ranks:
        work = Work(place.out / "work")
        origins = _find_origins(place, work, device)
        runs = {}
        for name, folder in folders.items():
            clips = choose_videos(FINDERS[name](folder, config.seed), config.num_videos, config.num_read, config.seed)
            runs[name] = table1.Table1Run(config, sampling, networks, work, name), clips
            if ranks.is_first:
                table1.write_inputs(*runs[name], place.out / "inputs" / name)
        for name, (_, clips) in runs.items():
            for origin in origins:
                origin.check([name], [clip.key for clip in clips])
        warnings: list[str] = []
        scores = table1.make_scores(runs, origins, ranks, warnings.append, _follow(ranks))
        if ranks.is_first:
            values = {
                name: {key: dataclasses.asdict(score) for key, score in row.items()} for name, row in scores.items()
            }
            chosen = {
                "protocol": dataclasses.asdict(config),
                "sampling": dataclasses.asdict(sampling),
                "data_sets": {name: str(folder) for name, folder in folders.items()},
                "weights": dict(weights),
            }
            notes = list(dict.fromkeys(warnings))
            result = Result(
                measure="table1", values=values, config=chosen,
                weights={"metrics": networks.hashes(), **_tell_origins(origins)}, device=str(device),
            )  # fmt: skip
            _write(place.out, result, table1.make_table(scores, notes), [], tell)
            for note in notes:
                tell(f"Note: {note}")


def run_table2(place: Place, shards: Path, config: GridConfig, sampling: SamplingConfig, tell: Tell) -> None:
    """Make Table 2 and the curve of measured over requested motion from the val split of a data set."""
    silence_libraries()

    def finish(measured: Any) -> tuple[dict[str, Any], Table, list[Plot]]:
        coherencies = table2.summarise(measured, sampling.motion_px)
        values = {
            name: {str(scale): dataclasses.asdict(coherency) for scale, coherency in row.items()}
            for name, row in coherencies.items()
        }
        return values, table2.make_table(coherencies), table2.make_plots(coherencies)

    _run_grid("table2", place, shards, config, sampling, table2.make_measure(), {}, finish, tell)


def run_figure7(
    place: Place, shards: Path, config: GridConfig, sampling: SamplingConfig, weights: Mapping[str, str], tell: Tell
) -> None:
    """Make Figure 7 from the val split of a data set; `weights` names those of `clip` and `x_clip`."""
    silence_libraries()
    device = choose_device(place.device)
    clip, x_clip = ClipEncoder(weights["clip"], device), XClipEncoder(weights["x_clip"], device)

    def finish(measured: Any) -> tuple[dict[str, Any], Table, list[Plot]]:
        similarities = figure7.summarise(measured)
        values = {name: {str(scale): scores for scale, scores in row.items()} for name, row in similarities.items()}
        return values, figure7.make_table(similarities), figure7.make_plots(similarities)

    told = {"clip": {"place": weights["clip"], "sha256": clip.sha256}}
    told["x_clip"] = {"place": weights["x_clip"], "sha256": x_clip.sha256}
    _run_grid("figure7", place, shards, config, sampling, figure7.make_measure(clip, x_clip), told, finish, tell)


def _run_grid(
    name: str,
    place: Place,
    shards: Path,
    config: GridConfig,
    sampling: SamplingConfig,
    measure: Measure,
    weights: dict[str, Any],
    finish: Callable[[Any], tuple[dict[str, Any], Table, list[Plot]]],
    tell: Tell,
) -> None:
    device = choose_device(place.device)
    pairs = draw_pairs(shards, config.num_pairs, config.seed, config.resolution)
    with join_ranks() as ranks:
        work = Work(place.out / "work")
        origins = _find_origins(place, work, device)
        for origin in origins:
            origin.check([place_of(scale) for scale in config.image_guidance], [pair.key for pair in pairs])
        measured = measure_grid(pairs, origins, sampling, config, measure, work, ranks, _follow(ranks))
        if ranks.is_first:
            values, table, plots = finish(measured)
            chosen = {
                "protocol": dataclasses.asdict(config),
                "sampling": {**dataclasses.asdict(sampling), "image_guidance": list(config.image_guidance)},
                "shards": str(shards),
                "pairs": [pair.key for pair in pairs],
            }
            told = {**weights, **_tell_origins(origins)}
            result = Result(measure=name, values=values, config=chosen, weights=told, device=str(device))
            _write(place.out, result, table, plots, tell)


def _find_origins(place: Place, work: Work, device: Any) -> list[FrameOrigin]:
    models: list[FrameOrigin] = [
        ModelFrames(name, model, work, device, place.batch) for name, model in place.models.items()
    ]
    return [*models, *(FolderFrames(name, folder) for name, folder in place.frames.items())]


def _tell_origins(origins: Sequence[FrameOrigin]) -> dict[str, Any]:
    return {"methods": {origin.name: origin.tell() for origin in origins}}


def _write(out: Path, result: Result, table: Table, plots: Sequence[Plot], tell: Tell) -> None:
    write_result(result, out / f"{result.measure}.json")
    write_table(table, out, result.measure)
    if plots:
        draw_plots(plots, out / f"{result.measure}.png")
    tell(f"{table.title}: {out / result.measure}.md, .csv, .tex and .json{' and .png' if plots else ''}.")


def _follow(ranks: Ranks) -> Callable[[Sequence[Any], str], Any]:
    """Show the first process's progress; the others have as much to do."""
    return _show if ranks.is_first else lambda items, _name: items


def _show(items: Sequence[Any], name: str) -> Iterator[Any]:
    with ProgressBar(name, len(items), "clips") as bar:
        for item in items:
            yield item
            bar.update(1)
