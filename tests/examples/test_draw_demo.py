"""The demo's GIFs show what curation does with each kind of row."""

import pyarrow.parquet as pq

from examples.draw_demo import draw_folder
from tests.curation.helpers import run


def test_each_kind_of_gif_gets_the_verdict_that_the_quickstart_names(tmp_path):
    run(draw_folder(tmp_path), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "clips.parquet", columns=["uri", "verdict", "detail"]).to_pylist()
    verdicts = {row["uri"].removeprefix("gifs/"): row["verdict"] for row in rows if row["verdict"] != "merged"}
    details = {row["uri"].removeprefix("gifs/"): row["detail"] for row in rows}
    assert {name: verdict for name, verdict in verdicts.items() if verdict != "kept"} == {
        "journey.gif": "duplicate",
        "repost.gif": "duplicate",
        "sunset.gif": "no_pair_in_range",
        "still.gif": "still",
        "gone.gif": "not_a_gif",
    }
    assert "sound frames" in details["broken.gif"]
    assert len(rows) == len(verdicts) + 1
