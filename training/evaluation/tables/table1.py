"""Table 1: FVD, CLIPSim and PIC of each method on UCF-101 and MSR-VTT, beside the published values."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.storage.atomic import write_atomically
from training.evaluation.config import METRICS, SamplingConfig, Table1Config
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frames, hash_clip, read_frames, resize_frames
from training.evaluation.inputs.video_sets import VideoClip
from training.evaluation.metrics import clipsim
from training.evaluation.metrics.fvd import I3D, Features, FrechetVideoDistance, check_num_videos, measure_fvd
from training.evaluation.metrics.networks import ClipEncoder
from training.evaluation.metrics.pic import DreamSim
from training.evaluation.tables.frame_origins import FrameOrigin, Request
from training.evaluation.tables.published import TABLE_1
from training.evaluation.tables.ranks import Ranks
from training.evaluation.tables.render import Cell, Table
from training.evaluation.tables.work_cache import WorkCache

_FILTER = Image.Resampling.BICUBIC
"""The authors' code resizes videos with Pillow's default filter, unlike training pictures."""
_HEADINGS = ("FVD (lower is better)", "CLIPSim (higher)", "PIC (higher)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of the metrics; None for a metric that is not computed."""

    i3d: I3D | None = None
    clip: ClipEncoder | None = None
    dreamsim: DreamSim | None = None

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each network."""
        networks = {"i3d": self.i3d, "clip": self.clip, "dreamsim": self.dreamsim}
        return {name: network.sha256 for name, network in networks.items() if network is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The metrics of one method on one data set; None for a metric that is not computed."""

    fvd: FrechetVideoDistance | None = None
    clipsim: float | None = None
    pic: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoSet:
    """One data set of the table: its drawn videos, and how they are measured. All values are cached."""

    name: str
    clips: Sequence[VideoClip]
    config: Table1Config
    sampling: SamplingConfig
    networks: Networks
    work: WorkCache

    def __post_init__(self) -> None:
        if len(self.sampling.motion_px) != self.config.num_frames:
            raise EvaluationError(
                f"there are {len(self.sampling.motion_px)} motions, but {self.config.num_frames} frames of a real "
                "video: FVD needs videos of the same length, so give one motion for each frame"
            )

    def measure_real(self, clip: VideoClip) -> Features:
        """Extract I3D's features of a real video: float64 [D], or [0] if FVD is not computed."""
        i3d, config = self.networks.i3d, self.config
        if i3d is None:
            return np.empty(0)
        recipe = {
            "video": hash_clip(clip.path), "start": config.start, "every": config.every,
            "num_frames": config.num_frames, "resolution": config.resolution, "i3d": i3d.sha256,
        }  # fmt: skip
        name = f"{self.name}/real/{clip.key}.i3d"
        return self.work.get_array(name, recipe, lambda: i3d.extract(self._read_real(clip)))

    def check_num_videos(self) -> None:
        """Raise EvaluationError if FVD cannot be estimated from so few videos."""
        if self.networks.i3d is not None:
            check_num_videos(len(self.clips), len(self.measure_real(self.clips[0])))

    def measure_generated(self, clip: VideoClip, origin: FrameOrigin) -> dict[str, NDArray[np.float64]]:
        """Measure a method's frames of a clip: `i3d` [D], `clipsim` [F] and `pic` [F], if their networks are loaded."""
        request, networks = self.make_request(clip), self.networks
        recipe = origin.make_recipe(self.name, request, self.sampling)
        # Frames are read once for all metrics, and not at all if every metric is cached.
        read = functools.cache(lambda: origin.get_frames(self.name, request, self.sampling))
        measures: dict[str, tuple[str, Callable[[], NDArray[np.float64]]]] = {}
        if (i3d := networks.i3d) is not None:
            measures["i3d"] = i3d.sha256, lambda: i3d.extract(read())
        if (encoder := networks.clip) is not None:
            measures["clipsim"] = encoder.sha256, lambda: clipsim.score_frames(encoder, read(), clip.caption)
        if (dreamsim := networks.dreamsim) is not None:
            measures["pic"] = dreamsim.sha256, lambda: dreamsim.score_frames(request.source, read())
        return {
            metric: self.work.get_array(
                f"{self.name}/{origin.name}/{clip.key}.{metric}",
                {"frames": recipe, "caption": clip.caption, "network": sha256},
                compute,
            )
            for metric, (sha256, compute) in measures.items()
        }

    def make_request(self, clip: VideoClip) -> Request:
        """Return the inputs of a clip: its first frame, and its caption with a full stop, as in TGIF's captions."""
        frame = read_frames(clip.path, num_frames=1)
        source = resize_frames(frame, self.config.resolution, self.config.resolution, _FILTER)[0]
        caption = clip.caption if clip.caption.endswith(".") else f"{clip.caption}."
        return Request(key=clip.key, caption=caption, source=source)

    def score(self, origin: FrameOrigin, warn: Callable[[str], None]) -> Score:
        """Compute a method's metrics over all clips."""
        measured = [self.measure_generated(clip, origin) for clip in self.clips]
        fvd = None
        if self.networks.i3d is not None:
            real = np.stack([self.measure_real(clip) for clip in self.clips])
            generated = np.stack([values["i3d"] for values in measured])
            fvd = measure_fvd(real, generated, lambda warning: warn(f"{self.name}: {warning}"))
        means = {
            metric: float(np.concatenate([values[metric] for values in measured]).mean())
            for metric in ("clipsim", "pic")
            if metric in measured[0]
        }
        return Score(fvd=fvd, **means)

    def write_inputs(self, folder: Path) -> None:
        """Write the sources as KEY.png and the captions as captions.tsv, as inputs for other models."""
        lines = []
        for clip in self.clips:
            with write_atomically(folder / f"{clip.key}.png") as temporary:
                Image.fromarray(self.make_request(clip).source).save(temporary, format="PNG")
            lines.append(f"{clip.key}\t{clip.caption}\n")
        with write_atomically(folder / "captions.tsv") as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def _read_real(self, clip: VideoClip) -> Frames:
        frames = read_frames(clip.path, self.config.every, self.config.num_frames, self.config.start)
        return resize_frames(frames, self.config.resolution, self.config.resolution, _FILTER)


def score_methods(
    video_sets: Sequence[VideoSet], origins: Sequence[FrameOrigin], ranks: Ranks, warn: Callable[[str], None]
) -> dict[str, dict[str, Score]]:
    """Measure every method on every data set; each process measures its share of the clips.

    The first process returns {method: {data set: Score}}, the others an empty mapping.
    """
    for video_set in video_sets:
        video_set.check_num_videos()
        for clip in ranks.iterate_share(video_set.clips, f"{video_set.name} real"):
            video_set.measure_real(clip)
    for origin in origins:
        for video_set in video_sets:
            for clip in ranks.iterate_share(video_set.clips, f"{video_set.name} {origin.name}"):
                video_set.measure_generated(clip, origin)
        origin.release()
    ranks.wait()
    if not ranks.is_first:
        return {}
    return {
        origin.name: {video_set.name: video_set.score(origin, warn) for video_set in video_sets} for origin in origins
    }


def make_table(scores: Mapping[str, Mapping[str, Score]], notes: Sequence[str] = ()) -> Table:
    """Put the scores, {method: {data set: Score}}, below the published values."""
    names = ("ucf-101", "msr-vtt")
    rows: list[tuple[Cell, ...]] = []
    for method, published in TABLE_1.items():
        rows.append((f"{method} (published)", *(published[name][metric] for name in names for metric in METRICS)))
    for method, measured in scores.items():
        cells: list[Cell] = []
        for name in names:
            score = measured.get(name, Score())
            cells += [score.fvd.fvd if score.fvd else None, score.clipsim, score.pic]
        rows.append((method, *cells))
    columns = ("method", *(f"{title} {heading}" for title in ("UCF-101", "MSR-VTT") for heading in _HEADINGS))
    return Table(
        title="Table 1: image and text to video, zero-shot", columns=columns, rows=tuple(rows), notes=tuple(notes)
    )
