"""`pix2gif flow`: measure the motion of all pairs of one GIF."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.options import DEFAULTS, config_option
from curation.errors import CurationError


def flow(
    gif: Annotated[Path, typer.Argument(help="Path of the GIF.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Output file: NAME.csv for a table, NAME.png for a heat map.", show_default="print the table"
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        config_option("resolution", "Side in pixels at which motion is measured; 0: the GIF's own.", panel="Output"),
    ] = None,
    fps: Annotated[
        float | None, config_option("fps", "Sample a video at this many frames per second.", panel="Output")
    ] = None,
) -> None:
    """Measure the motion of every pair of one GIF. Writes a table, or a heat map of source frame by target frame.

    Example: pix2gif flow cat.gif --out cat.png
    """
    from curation.inspection.one_gif import draw_heat_map, format_csv, measure_file
    from shards.storage.atomic import write_atomically

    if out is not None and out.suffix.lower() not in (".csv", ".png"):
        raise CurationError(f"--out {out} must end in .csv or .png")
    given: dict[str, Any] = {
        name: value for name, value in (("resolution", resolution), ("fps", fps)) if value is not None
    }
    config = dataclasses.replace(DEFAULTS, **given)
    measurement, rows = measure_file(gif, config)
    if out is None:
        typer.echo(format_csv(rows), nl=False)
        return
    with write_atomically(out) as temporary:
        if out.suffix.lower() == ".csv":
            temporary.write_text(format_csv(rows))
        else:
            title = f"Motion of every pair: {gif.name}"
            motion_px = rows["motion_px"].to_numpy()
            draw_heat_map(motion_px, measurement.num_frames, title).save(temporary, "PNG")
    if measurement.detail:
        typer.echo(f"{gif}: {measurement.detail}", err=True)
    typer.echo(f"{rows.num_rows:,} pairs of {measurement.num_frames} frames: {out}")
