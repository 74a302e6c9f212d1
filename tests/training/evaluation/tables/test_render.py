import csv
import io

import numpy as np
import pytest
from PIL import Image

from training.evaluation.metrics.fvd import FrechetVideoDistance
from training.evaluation.metrics.motion_coherency import summarise_motion
from training.evaluation.tables import figure7, table1, table2
from training.evaluation.tables.plots import Curve, Plot, draw_plots
from training.evaluation.tables.render import Table, to_csv, to_latex, to_markdown

TABLE = Table(
    title="Figures",
    columns=("method", "a_b", "c"),
    rows=(("full & all", 123.456, 0.12345), ("x|y", None, 3)),
    notes=("A note.",),
)


def test_markdown_has_title_rows_and_notes():
    assert to_markdown(TABLE).splitlines() == [
        "# Figures", "", "| method | a_b | c |", "| --- | ---: | ---: |", "| full & all | 123.46 | 0.1235 |",
        r"| x\|y | - | 3 |", "", "A note.",
    ]  # fmt: skip


def test_csv_has_all_digits():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [["method", "a_b", "c"], ["full & all", "123.456", "0.12345"], ["x|y", "", "3"]]


def test_latex_escapes_special_characters():
    text = to_latex(TABLE)
    assert r"full \& all & 123.46 & 0.1235 \\" in text
    assert r"method & a\_b & c \\" in text
    assert text.count(r"\\") == 3
    assert r"\begin{tabular}{lrr}" in text


def test_table_1_has_published_and_measured_rows():
    score = table1.Score(fvd=FrechetVideoDistance(fvd=300.0, bias=5, num_videos=2048, num_features=400), clipsim=0.25)
    rows = table1.make_table({"mine": {"msr-vtt": score}}).rows
    assert rows[2] == ("Pix2Gif (published)", 285.02, 0.2815, 0.8763, 168.69, 0.2573, 0.8521)
    assert rows[3] == ("mine", None, None, None, 300.0, 0.25, None)


def test_table_2_has_published_and_measured_rows():
    motions = np.array([[2.0, 5.0]])
    rows = table2.compare_motion({"mine": {1.4: motions}}, [2, 4]).table.rows
    assert ("Pix2Gif (published)", "1.4", 1.746, None, None, 0.995, None, None) in rows
    assert len(rows) == 13
    assert rows[-1][:2] == ("mine", "1.4")
    assert rows[-1][3:6] == (summarise_motion([2, 4], motions).averaged.rms_px, 1.0, pytest.approx(1.0))


def test_figure_7_averages_over_pairs():
    measured = {"mine": {1.0: np.array([[0.2, 0.4], [0.4, 0.8]])}}
    report = figure7.average_similarity(measured)
    assert report.values["mine"]["1.0"] == pytest.approx({"source": 0.3, "target": 0.6})
    assert [plot.title for plot in report.plots] == ["source frame score", "target frame score"]


def test_the_same_curves_give_the_same_png(tmp_path):
    curve = Curve(name="full", x=[2, 4, 8], y=[2.1, 3.8, 7], deviation=[0.2, 0.3, 1])
    plot = Plot(title="s_I = 1.8", x_label="requested", y_label="measured", curves=[curve], has_diagonal=True)
    for name in ("one", "same"):
        draw_plots([plot, plot], tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (1320, 480)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
