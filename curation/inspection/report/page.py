"""Render `report.html`, what a person looks at first: in comes a `Report`, out goes one HTML page.

The page is whole in itself: style, script, charts and pictures stand in it, and it asks the network for nothing. All
but the browser of pairs is there without its script too. Whatever comes from the data set is escaped. The same report
gives the same bytes.
"""

import base64

from curation.inspection.report.charts import axis_for, cells_of, place_in, shares
from curation.inspection.report.report_data import VERDICTS_IN_WORDS, Report, ShownPair
from curation.inspection.web.templates import allow_script, embed_json, load_template, read_script
from curation.run.saved_options import RETRIED

NUM_PLAIN_PAIRS = 12
"""Pairs that are shown without the script too."""


def render_report(report: Report) -> str:
    """Render the page, UTF-8 when written: no timestamp, no reference outside the data set's folder."""
    script = read_script("web/browser.js", "report/browse.js")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allow_script(script)}"
    charts = {"axis_for": axis_for, "cells_of": cells_of, "place_in": place_in, "shares": shares}
    return load_template("report/page.html.jinja").render(
        report=report,
        in_words=VERDICTS_IN_WORDS,
        retried=[verdict.value for verdict in RETRIED],
        plain_pairs=report.pairs[:NUM_PLAIN_PAIRS],
        pairs=embed_json([_describe(pair) for pair in report.pairs]),
        shown={split.name: sum(pair.split == split.name for pair in report.pairs) for split in report.splits},
        policy=policy,
        script=script,
        charts=charts,
    )


def _describe(pair: ShownPair) -> dict[str, object]:
    """Lay a pair out for the script, which knows samples as the viewer's server describes them."""
    return {
        "key": pair.key,
        "caption": pair.caption,
        "split": pair.split,
        "shard": pair.shard,
        "source_index": pair.source_index,
        "target_index": pair.target_index,
        "motion_px": round(pair.motion_px, 4),
        "gap_ms": pair.gap_ms,
        "source": base64.b64encode(pair.source).decode("ascii"),
        "target": base64.b64encode(pair.target).decode("ascii"),
    }
