"""No token, signed URL or session URI anywhere that people or machines look, whatever goes wrong."""

import re

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.system.conftest import TOKEN, Site

SECRET = re.compile(
    rf"{TOKEN}|upload_id=(?!\[)|X-Goog-Signature=(?!\[)|X-Goog-Credential=(?!\[)|Bearer (?!\[)", re.IGNORECASE
)


@pytest.mark.long
def test_nothing_that_is_written_or_shown_holds_a_secret(site: Site) -> None:
    site.configure(upload='chunk_size = "256KiB"\nmax_attempts = 3')
    site.sandbox.faults = Faults(
        errors=0.25, drop=0.3, partial=0.2, lost_answers=0.3, lazy=0.3, dead_sessions=0.2, corrupt=0.2, seed=7
    )
    for seed in range(12):
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 600_000))
    said = [site.once("--verbose", "--log", style) for style in ("json", "human")]
    site.sandbox.stop()
    said += [site.once("--verbose", "--log", "human")]
    said += [site.call(*command) for command in (("status",), ("ls",), ("ls", "--json"), ("status", "--json"))]
    said += [site.call("show", str(row["id"]), *form) for row in site.rows("id") for form in ((), ("--json",))]
    text = "\n".join(result.stdout + result.stderr for result in said)
    assert "failed" in text, "the faults were too mild to test anything"
    assert "HTTP Request" not in text, "httpx's own lines have whole URLs"
    assert SECRET.search(text) is None
    columns = "folder, path, status, file_id, error_code, error, claim"
    assert SECRET.search(repr(site.rows(columns))) is None
