"""`layerwatch sandbox` as a process: what it prints, how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

RUN = [sys.executable, "-c", "from layerwatch.cli.sandbox import command; command()"]


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)


def refused(*options: str) -> str:
    ended = subprocess.run([*RUN, *options], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    return ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_on_a_signal(number: signal.Signals) -> None:
    with running("--port", "0", "--json", "--token", "mine", "--verbose") as process:
        assert process.stdout
        about = json.loads(process.stdout.readline())
        url = f"{about['base_url']}/v1/workspaces/{about['workspace_id']}"
        assert httpx.get(url, headers={"authorization": "Bearer mine"}, trust_env=False).status_code == 200
        process.send_signal(number)
        rest, told = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
    assert "GET /api/v1/workspaces/" in told
    assert "0 objects, 0 bytes, 0 generations, 0 violations" in told


def test_a_broken_rule_is_the_exit_code() -> None:
    with running("--port", "0") as process:
        assert process.stderr
        intro = [process.stderr.readline() for _ in range(7)]
        (base_url,) = [line.split("=")[1].strip() for line in intro if "LAYERWATCH_API__BASE_URL=" in line]
        url = base_url.removesuffix("/api") + "/storage/bucket/object"
        assert httpx.post(url, trust_env=False).status_code == 403
        process.terminate()
        _, told = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "signature: the URL is not as it was signed" in told


def test_faults_of_every_kind_can_be_asked_for() -> None:
    wanted = "asset_name=../x.png,fail_code=IMAGE_TOO_SMALL,refuse_posts=503,retry_after=2,asset_bytes=2e9,bare"
    with running("--port", "0", "--json", "--faults", wanted) as process:
        assert process.stdout
        base_url = json.loads(process.stdout.readline())["base_url"]
        faults = httpx.get(base_url.removesuffix("/api") + "/sandbox", trust_env=False).json()["faults"]
    assert (faults["asset_name"], faults["fail_code"]) == ("../x.png", "IMAGE_TOO_SMALL")
    assert (faults["refuse_posts"], faults["retry_after"], faults["asset_bytes"]) == (503, 2.0, 2e9)
    assert faults["bare"]


def test_a_port_in_use_is_a_clear_message() -> None:
    with running("--port", "0", "--json") as process:
        assert process.stdout
        port = json.loads(process.stdout.readline())["base_url"].rsplit(":", 1)[1].removesuffix("/api")
        assert f"cannot listen on 127.0.0.1 port {port}" in refused("--port", port)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--host", "0.0.0.0"), "only loopback addresses"),
        (("--host", "example.com"), "only loopback addresses"),
        (("--faults", "errors=7"), "'errors': 7.0 is not a rate from 0 to 1"),
        (("--faults", "eror=0.1"), "allowed are: errors"),
        (("--faults", "refuse_posts=418"), "'refuse_posts': 418 is not one of 400, 401"),
        (("--store", "/proc/no/where"), "--store /proc/no/where"),
    ],
)
def test_wrong_options(options: tuple[str, ...], reason: str) -> None:
    assert reason in refused(*options)


def test_the_help_lists_every_fault() -> None:
    from layerwatch.sandbox.faults import KEYS

    told = subprocess.run([*RUN, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert all(f"\n  {key} " in told for key in KEYS)
