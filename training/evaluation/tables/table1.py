"""Table 1: UCF-101 and MSR-VTT, models and folders of frames -> FVD, CLIPSim and PIC beside the paper's figures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.atomic import write_atomically
from training.evaluation.config import METRICS, SamplingConfig, Table1Config
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import Frames, hash_clip, read_frames, resize_frames
from training.evaluation.inputs.video_sets import VideoClip
from training.evaluation.metrics import clipsim
from training.evaluation.metrics.fvd import I3D, FrechetVideoDistance, measure_fvd, refuse_too_few
from training.evaluation.metrics.networks import ClipEncoder
from training.evaluation.metrics.pic import DreamSim
from training.evaluation.tables.frame_origins import FrameOrigin, Request
from training.evaluation.tables.published import TABLE_1
from training.evaluation.tables.render import Cell, Table
from training.evaluation.tables.work_cache import Ranks, Work, write_picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """What measures; None for a metric that was left out."""

    i3d: I3D | None = None
    clip: ClipEncoder | None = None
    dreamsim: DreamSim | None = None

    def hashes(self) -> dict[str, str]:
        """Tell the sha256 of each network's weights."""
        networks = {"i3d": self.i3d, "clip": self.clip, "dreamsim": self.dreamsim}
        return {name: network.sha256 for name, network in networks.items() if network is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """What one method reaches on one data set; None for a metric that was left out."""

    fvd: FrechetVideoDistance | None = None
    clipsim: float | None = None
    pic: float | None = None


class Table1Run:
    """One data set's part of the table, item by item, so that processes can share them."""

    def __init__(
        self, config: Table1Config, sampling: SamplingConfig, networks: Networks, work: Work, data_set: str
    ) -> None:
        if len(sampling.motion_px) != config.num_frames:
            raise EvaluationError(
                f"there are {len(sampling.motion_px)} motions and {config.num_frames} frames of a real video: FVD "
                "compares videos of one length, so name one motion for each frame"
            )
        self._config, self._sampling, self._networks, self._work = config, sampling, networks, work
        self._data_set = data_set

    def measure_real(self, clip: VideoClip) -> NDArray[np.float64]:
        """Extract I3D's features of a real video: float64 [D], or none where FVD was left out."""
        i3d, config = self._networks.i3d, self._config
        if i3d is None:
            return np.empty(0)
        recipe = {
            "video": hash_clip(clip.path), "every": config.every, "num_frames": config.num_frames,
            "resolution": config.resolution, "i3d": i3d.sha256,
        }  # fmt: skip
        name = f"{self._data_set}/real/{clip.key}.i3d"
        return self._work.numbers(name, recipe, lambda: i3d.extract(self._read_real(clip)))

    def refuse_too_few(self, clips: Sequence[VideoClip]) -> None:
        """Raise EvaluationError, before anything is generated, for fewer videos than FVD can be estimated from."""
        if self._networks.i3d is not None:
            refuse_too_few(len(clips), len(self.measure_real(clips[0])))

    def measure_generated(self, clip: VideoClip, origin: FrameOrigin) -> dict[str, NDArray[np.float64]]:
        """Measure a method's frames of a clip: `i3d` [D], `clipsim` [F] and `pic` [F], those that were not left out."""
        request, networks = self.request(clip), self._networks
        recipe = origin.recipe(self._data_set, request, self._sampling)
        # Frames are read once for all metrics, and not at all where every metric is there already.
        read = functools.cache(lambda: origin.frames(self._data_set, request, self._sampling))
        measures: dict[str, tuple[str, Callable[[], NDArray[np.float64]]]] = {}
        if (i3d := networks.i3d) is not None:
            measures["i3d"] = i3d.sha256, lambda: i3d.extract(read())
        if (clip_encoder := networks.clip) is not None:
            measures["clipsim"] = clip_encoder.sha256, lambda: clipsim.score_frames(clip_encoder, read(), clip.caption)
        if (dreamsim := networks.dreamsim) is not None:
            measures["pic"] = dreamsim.sha256, lambda: dreamsim.score_frames(*_alike(request.source, read()))
        return {
            metric: self._work.numbers(
                f"{self._data_set}/{origin.name}/{clip.key}.{metric}",
                {"frames": recipe, "caption": clip.caption, "network": sha256},
                make,
            )
            for metric, (sha256, make) in measures.items()
        }

    def request(self, clip: VideoClip) -> Request:
        """Take the first frame as the source."""
        frame = read_frames(clip.path, num_frames=1)
        source = resize_frames(frame, self._config.resolution, self._config.resolution)[0]
        return Request(key=clip.key, caption=clip.caption, source=source)

    def score(
        self, clips: Sequence[VideoClip], origin: FrameOrigin, warn: Callable[[str], None] | None = None
    ) -> Score:
        """Gather a method's measures over all clips."""
        measured = [self.measure_generated(clip, origin) for clip in clips]
        fvd = None
        if self._networks.i3d is not None:
            real = np.stack([self.measure_real(clip) for clip in clips])
            fvd = measure_fvd(real, np.stack([numbers["i3d"] for numbers in measured]), warn)
        means = {
            metric: float(np.concatenate([numbers[metric] for numbers in measured]).mean())
            for metric in ("clipsim", "pic")
            if metric in measured[0]
        }
        return Score(fvd=fvd, **means)

    def _read_real(self, clip: VideoClip) -> Frames:
        frames = read_frames(clip.path, self._config.every, self._config.num_frames)
        return resize_frames(frames, self._config.resolution, self._config.resolution)


def write_inputs(run: Table1Run, clips: Sequence[VideoClip], folder: Path) -> None:
    """Write the sources as pictures and the captions as a table, for other models to be run on the same."""
    lines = []
    for clip in clips:
        write_picture(folder / f"{clip.key}.png", run.request(clip).source)
        lines.append(f"{clip.key}\t{clip.caption}\n")
    with write_atomically(folder / "captions.tsv") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def make_scores(
    runs: Mapping[str, tuple[Table1Run, Sequence[VideoClip]]],
    origins: Sequence[FrameOrigin],
    ranks: Ranks,
    warn: Callable[[str], None] | None = None,
    follow: Callable[[Sequence[Any], str], Any] = lambda items, _name: items,
) -> dict[str, dict[str, Score]]:
    """Measure every method on every data set, each process its share: {method: {data set: Score}}.

    The first process gathers, the others return nothing. `follow` wraps the items that are worked off, with their
    name, to show progress.
    """
    for name, (run, clips) in runs.items():
        run.refuse_too_few(clips)
        for clip in follow(ranks.share(clips), f"{name} real"):
            run.measure_real(clip)
    for origin in origins:
        for name, (run, clips) in runs.items():
            for clip in follow(ranks.share(clips), f"{name} {origin.name}"):
                run.measure_generated(clip, origin)
        origin.release()
    ranks.wait()
    if not ranks.is_first:
        return {}
    return {
        origin.name: {
            name: run.score(clips, origin, functools.partial(_warn_of, warn, name))
            for name, (run, clips) in runs.items()
        }
        for origin in origins
    }


def make_table(scores: Mapping[str, Mapping[str, Score]], notes: Sequence[str] = ()) -> Table:
    """Put scores beside the paper's, which are marked as published."""
    sets = ("ucf-101", "msr-vtt")
    rows: list[tuple[Cell, ...]] = []
    for method, published in TABLE_1.items():
        rows.append((f"{method} (published)", *(published[name][metric] for name in sets for metric in METRICS)))
    for method, measured in scores.items():
        cells: list[Cell] = []
        for name in sets:
            score = measured.get(name, Score())
            cells += [score.fvd.fvd if score.fvd else None, score.clipsim, score.pic]
        rows.append((method, *cells))
    columns = ("method", *(f"{title} {metric}" for title in ("UCF-101", "MSR-VTT") for metric in _HEADINGS))
    return Table(
        title="Table 1: image and text to video, zero-shot", columns=columns, rows=tuple(rows), notes=tuple(notes)
    )


def _warn_of(warn: Callable[[str], None] | None, data_set: str, warning: str) -> None:
    if warn is not None:
        warn(f"{data_set}: {warning}")


_HEADINGS = ("FVD (less is better)", "CLIPSim (more)", "PIC (more)")


def _alike(source: NDArray[np.uint8], frames: Frames) -> tuple[NDArray[np.uint8], Frames]:
    """Bring the source to the frames' size, which for another model's may be another one."""
    height, width = frames.shape[1:3]
    return resize_frames(source[None], width, height)[0], frames
