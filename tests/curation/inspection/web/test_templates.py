"""Embedded JSON cannot end its script element; the CSP hash matches the script."""

import base64
import hashlib
import json

import pytest

from curation.inspection.web.templates import csp_hash, embed_json, read_scripts


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "a & b > c", "line\u2028end\u2029", 'quote " and \\'])
def test_embedded_json_is_escaped_and_parses_back(text: str) -> None:
    embedded = embed_json({"caption": text})
    assert not set(embedded) & set("<>&\u2028\u2029")
    assert json.loads(embedded) == {"caption": text}


def test_csp_hash_is_the_sha256_of_the_script() -> None:
    script = read_scripts("web/browser.js", "report/browse.js")
    assert script.startswith('"use strict";')
    assert "</script" not in script
    assert csp_hash(script) == f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
