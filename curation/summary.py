"""What is printed at the end of a run: what happened to my data, and where it is."""

import dataclasses

from curation.finish import Curated
from curation.run_record import RETRIED
from shards.manifest import Manifest
from shards.schema import REPORT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """A finished run."""

    curated: Curated
    manifest: Manifest
    num_reused: int
    """Clips whose measurements were found, not made."""
    num_pairs_measured: int
    """Pairs measured in this run."""
    seconds: dict[str, float]
    """Wall time by stage."""

    def __str__(self) -> str:
        """Lay it out for a terminal."""
        curated, catalog = self.curated, self.curated.catalog
        lines = [f"{len(catalog.rows):,} rows, {len(catalog.clips):,} clips"]
        lines += [f"  {name:17}{count:>10,}" for name, count in self.manifest.verdicts.items() if count]
        if num_retried := sum(self.manifest.verdicts.get(verdict, 0) for verdict in RETRIED):
            rows = "row" if num_retried == 1 else "rows"
            lines.append(f"  {num_retried:,} {rows} may do better another time: pix2gif retry {curated.out}")
        if catalog.num_unlisted:
            lines.append(f"  {catalog.num_unlisted:,} clips stand in no split list and went to train")
        flat = f", histogram {curated.flatness:.1%} of flat" if curated.flatness is not None else ""
        pairs = f"{curated.num_pairs:,} pairs, {curated.num_in_range:,} in range, {curated.num_kept:,} kept"
        lines.append(pairs + flat)
        if curated.num_across_cut:
            lines.append(f"  {curated.num_across_cut:,} kept across a scene cut; --drop-cuts leaves such pairs out")
        if self.num_reused:
            lines.append(f"  {self.num_reused:,} clips were measured before and not measured again")
        for split, entry in self.manifest.splits.items():
            shards = f"{len(entry.shards):,} {'shard' if len(entry.shards) == 1 else 'shards'}"
            lines.append(f"  {split:17}{entry.num_samples:>10,} samples of {entry.num_clips:,} clips in {shards}")
        lines.append(self._times())
        lines.append(f"The data set is in {curated.out}; look at {curated.out / REPORT} first.")
        return "\n".join(lines)

    def _times(self) -> str:
        by_stage = ", ".join(f"{name} {s:.1f}" for name, s in self.seconds.items() if s >= 0.05)
        text = f"{sum(self.seconds.values()):.1f} s: {by_stage}"
        measuring = self.seconds.get("measure", 0.0)
        if self.num_pairs_measured and measuring:
            text += f"; {self.num_pairs_measured / measuring:,.0f} pairs/s while measuring"
        return text
