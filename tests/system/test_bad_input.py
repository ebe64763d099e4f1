"""Bad input of every kind: a message with thing, reason and fix, the promised exit code, and nothing lost."""

import http.server
import os
import shutil
import socketserver
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from layerwatch.samples import sample
from tests.system.conftest import Site, until


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert result.returncode == code, result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_no_configuration(site: Site) -> None:
    site.config.unlink()
    refused(site.once(), 2, str(site.config), "fix:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[api\n", ("TOML", "line")),
        ("[upload]\nworkerz = 3\n", ("workerz", "workers")),
        ('[upload]\nworkers = "many"\n', ("workers", "number")),
        ('[[folders]]\nname = "a"\npath = "/x"\n[[folders]]\nname = "b"\npath = "/x/y"\n', ("/x", "/x/y")),
    ],
)
def test_a_broken_configuration(site: Site, text: str, words: tuple[str, ...]) -> None:
    site.config.write_text(text)
    refused(site.once(), 2, str(site.config.name), "fix:", *words)
    assert site.sandbox.counters["workspace"] == 0


def test_no_token(site: Site) -> None:
    refused(site.once(LAYER_TOKEN=""), 2, "LAYER_TOKEN", "fix:")


def test_a_wrong_token(site: Site) -> None:
    result = site.once(LAYER_TOKEN="wrong-token-0815")
    refused(result, 4, "401", "fix:")
    assert "wrong-token-0815" not in result.stderr


def test_a_forbidden_workspace(site: Site) -> None:
    site.config.write_text(
        site.config.read_text().replace(site.sandbox.workspace_id, "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    )
    refused(site.once(), 4, "403", "workspace", "fix:")


def test_a_base_url_that_answers_html(site: Site) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site.config.write_text(
            site.config.read_text().replace(site.sandbox.base_url, f"http://127.0.0.1:{server.server_address[1]}/api")
        )
        refused(site.once(), 2, "text/html", "base_url", "fix:")
        server.shutdown()


def test_a_missing_folder_is_told_and_does_not_take_the_others_down(site: Site) -> None:
    missing = site.home / "not there"
    site.configure(more=f'[[folders]]\nname = "late"\npath = "{missing}"\nsettle = "100ms"')
    (site.drop / "a.png").write_bytes(sample("png", 1, 5000))
    daemon = site.start()
    until(lambda: site.statuses() == {"uploaded": 1}, "the other folder's file")
    assert "folder late: away" in site.said()
    assert "late" in site.call("status").stdout
    missing.mkdir()
    (missing / "b.png").write_bytes(sample("png", 2, 5000))
    until(lambda: site.statuses() == {"uploaded": 2}, "the file of the folder that came later")
    assert site.end(daemon) == 0


def test_a_ledger_from_a_newer_version(site: Site) -> None:
    assert site.once().returncode == 0
    connection = sqlite3.connect(site.ledger)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    refused(site.once(), 2, "newer", "999", "fix:")


def may_mount() -> bool:
    attempt = ["unshare", "-rm", "mount", "-t", "tmpfs", "t", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(attempt, check=False, capture_output=True).returncode == 0
    )


IN_A_NAMESPACE = pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount a filesystem of their own")


def mounted(site: Site, options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """`run --once` with a filesystem of its own under the ledger."""
    site.ledger.parent.mkdir(exist_ok=True)
    where = site.ledger.parent
    run = f"exec {sys.executable} -m layerwatch run --once -c {site.config}"
    script = f"mount -t tmpfs -o {options} t {where} && {before or ':'} && {run}"
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=site.environment(),
        timeout=60,
        check=False,
    )


@IN_A_NAMESPACE
def test_a_read_only_ledger_directory(site: Site) -> None:
    refused(mounted(site, "size=10M", f"mount -o remount,ro {site.ledger.parent}"), 2, "cannot be written", "fix:")


@IN_A_NAMESPACE
def test_a_full_disk(site: Site) -> None:
    fill = f"(cat /dev/zero > {site.ledger.parent}/fill || true) 2>/dev/null"
    refused(mounted(site, "size=1M", fill), 1, "full", "fix:")


def test_odd_files_are_each_told_and_none_is_followed_or_waited_for(site: Site) -> None:
    secret = site.home / "secret.png"
    secret.write_bytes(sample("png", 66, 5000))
    (site.drop / "link.png").symlink_to(secret)
    (site.drop / "link").symlink_to(site.home / "elsewhere")
    (site.home / "elsewhere").mkdir()
    (site.home / "elsewhere" / "other.png").write_bytes(sample("png", 67, 5000))
    os.mkfifo(site.drop / "pipe.png")
    (site.drop / "empty.png").touch()
    (site.drop / "note.png").write_text("hello")
    (site.drop / "huge.png").write_bytes(sample("png", 68, 2 * 1024 * 1024))
    odd = os.fsencode(site.drop) + b"/caf\xe9 \n.png"
    Path(os.fsdecode(odd)).write_bytes(sample("png", 69, 5000))
    site.configure(upload='max_file_size = "1MiB"')
    result = site.once("--log", "human")
    assert result.returncode == 0
    told = {os.path.basename(os.fsdecode(row["path"])): (row["status"], row["error_code"]) for row in site.rows()}
    assert told == {
        "link.png": ("skipped", "unsupported_type"),
        "link": ("skipped", "unsupported_type"),
        "pipe.png": ("skipped", "unsupported_type"),
        "empty.png": ("skipped", "empty"),
        "note.png": ("skipped", "unsupported_type"),
        "huge.png": ("skipped", "too_large"),
        os.fsdecode(b"caf\xe9 \n.png"): ("uploaded", None),
    }
    assert "links are not followed" in result.stderr
    assert len(site.sandbox.objects) == 1
    assert site.sandbox.counters["upload_url"] == 1


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv to become somebody else")
def test_an_unreadable_file_is_told_and_taken_once_it_can_be_read(site: Site) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    hidden = site.drop / "hidden.png"
    hidden.write_bytes(sample("png", 1, 5000))
    hidden.chmod(0)
    for path in (site.drop, site.home, *site.home.parents):
        if path.stat().st_uid == 0 and path.stat().st_mode & 0o777 == 0o700:
            path.chmod(0o755)
    site.drop.chmod(0o777)
    site.home.chmod(0o777)

    def once() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "layerwatch", "run", "--once", "-c", str(site.config)]
        return subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command],
            capture_output=True,
            text=True,
            env=site.environment(),
            timeout=60,
            check=False,
        )

    result = once()
    if "Permission denied" in result.stderr and not site.ledger.exists():
        pytest.skip("the interpreter itself cannot be reached by nobody")
    (row,) = site.rows()
    assert (row["status"], row["error_code"]) == ("skipped", "unreadable")
    assert "uid 65534" in result.stderr
    hidden.chmod(0o644)
    assert once().returncode == 0
    assert site.statuses() == {"uploaded": 1}
