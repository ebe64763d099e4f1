"""One share that two hosts have mounted at different places: real daemons on a real server. Where this machine lets us,
by a bind mount of each host's own, which does not see the other one's place; and anywhere by hard links, so that both
have a directory with the very same files."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Sandbox
from tests.starts import Start, executed, to_its_end
from tests.system.conftest import until
from tests.system.farm import KIB, PAINTED, Farm, Host

if TYPE_CHECKING:
    from tests.postgres import Server

LINKED, MOUNTED, COPIED = "linked", "mounted", "copied"
# The share is there alone, and where the other host has it is something else.
MOUNT = 'mount --bind "$1" "$2" && mount -t tmpfs none "$1" && shift 2 && exec "$@"'
WIP = "_wip.png"  # what is taken only when it is pushed


@cache
def can_mount() -> bool:
    done = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return done.returncode == 0


@dataclass
class Elsewhere(Host):
    """A host that has the share at `root`."""

    root: Path = Path()

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            line, out = ["run", "-c", str(self.config), "--log", "json"], log.fileno()
            self.process = self.started(line, self.environment | environment, out, out)

    def call(self, command: str, *rest: str) -> "subprocess.CompletedProcess[str]":
        line = [command, "-c", str(self.config), *rest]
        return to_its_end(self.started, line, self.environment, timeout_s=110)

    def answer(self, command: str, *rest: str) -> Any:
        done = self.call(command, "--json", *rest)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def uploads(self) -> list[str]:
        """The paths that it has uploaded, as it tells of them."""
        said = (json.loads(line) for line in self.said().splitlines() if line.startswith("{"))
        return [line["path"] for line in said if line["event"] == "uploaded"]


class Shared(Farm):
    """Two hosts: the first has the share where the ledger says, the second has it below `volumes`."""

    def __init__(self, home: Path, sandbox: Sandbox, server: "Server", started: Start, *, how: str) -> None:
        self.how = how
        self.volumes = home / "volumes"
        self.volumes.mkdir()
        self.links: list[Path] = []
        super().__init__(home, sandbox, server, hosts=2, lease="2s", started=started)
        inside = ("unshare", "-rm", "sh", "-c", MOUNT, "sh", str(self.drop), str(self.volumes))
        first, second = self.hosts
        self.linux = self._there(first, self.drop, ())
        self.mac = self._there(second, self.volumes, inside if how == MOUNTED else ())
        self.both = (self.linux, self.mac)
        self.hosts = [*self.both]

    def _there(self, host: Host, root: Path, inside: tuple[str, ...]) -> Elsewhere:
        hooked = f"""exclude = ["*{WIP}"]
on_uploaded = {{ command = ["sh", "-c", 'echo "$LAYERWATCH_PATH" >> {host.log}.hooks'] }}"""
        text = host.config.read_text().replace('settle = "100ms"', f'settle = "100ms"\n{hooked}')
        text = text.replace(f'path = "{self.drop}"', f'path = "{root}"')
        if root != self.drop:
            text += f'\n[ledger.paths]\n"{root}" = "{self.drop}"\n'
        host.config.write_text(text)
        if inside:  # who sees it so is started by that
            host.started = partial(executed, inside=inside)
        return Elsewhere(**vars(host), root=root)

    def put(self, name: str, seed: int, size: int = 20 * KIB) -> str:
        """A file comes into the share; its name in the ledger."""
        content, path = sample("png", seed, size), self.drop / name
        if self.how == MOUNTED:
            path.write_bytes(content)
        elif self.how == COPIED:
            for there in (self.volumes / name, path):
                staged = self.site.home / "staged"
                staged.write_bytes(content)
                os.utime(staged, ns=(seed, seed))
                staged.rename(there)
        else:
            whole = self.site.home / f"whole-{seed}"
            whole.write_bytes(content)
            (self.volumes / name).hardlink_to(whole)
            path.hardlink_to(whole)
        return str(path)

    def uploaded(self, number: int) -> None:
        until(lambda: self.statuses().get("uploaded") == number, f"{number} files uploaded")

    def fired(self, number: int) -> None:
        asked = "SELECT status FROM generations"
        until(lambda: [row["status"] for row in self.ask(asked)] == ["complete"] * number, f"{number} generations")
        assert len(self.sandbox.generations) == number

    def paths(self) -> list[str]:
        """Of all rows but those of results, which are there to be passed over."""
        return [row["path"] for row in self.ask("SELECT path FROM files WHERE status <> 'skipped' ORDER BY id")]


@pytest.fixture(params=[LINKED, MOUNTED])
def shared(
    request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox, postgres: "Server", started: Start
) -> Iterator[Shared]:
    if request.param == MOUNTED and not can_mount():
        pytest.skip("no mount namespaces here")
    with Shared(tmp_path.resolve(), sandbox, postgres, started, how=request.param) as farm:
        yield farm


def test_inodes_may_differ(tmp_path: Path, sandbox: Sandbox, postgres: "Server", started: Start) -> None:
    with Shared(tmp_path.resolve(), sandbox, postgres, started, how=COPIED) as farm:
        farm.start()
        for number in count(1):  # until each has uploaded what the other one found, or it found itself
            farm.put(f"{number}.png", number)
            farm.uploaded(number)
            if all(host.uploads() for host in farm.both):
                break
        assert farm.statuses() == {"uploaded": number}


def test_each_file_has_one_row_is_uploaded_once_and_fires_once_by_either(shared: Shared) -> None:
    shared.start()
    expected, painted = [], 0
    for number in count():  # until each has uploaded what the other one found, or it found itself
        name = f"{number}{PAINTED if number % 3 == 0 else '.png'}"
        painted += number % 3 == 0
        expected.append(shared.put(name, number))
        shared.uploaded(len(expected))
        if all(host.uploads() for host in shared.both):
            break
    shared.fired(painted)
    assert sorted(shared.paths()) == sorted(expected)
    assert len(shared.sandbox.objects) == len(expected)
    assert sorted(row["path"] for row in shared.ask("SELECT path FROM generations")) == sorted(
        path for path in expected if path.endswith(PAINTED)
    )
    for host in shared.both:
        assert {str(Path(path).parent) for path in host.uploads()} == {str(host.root)}
    until(lambda: not shared.ask("SELECT 1 FROM deliveries WHERE status <> 'done'"), "all hooks")
    told = [(host.root, line) for host in shared.both for line in _lines(Path(f"{host.log}.hooks"))]
    assert len(told) == len(expected)
    assert [line for root, line in told if Path(line).parent != root] == []
    assert shared.sandbox.violations == []


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_who_watches_and_dies_is_replaced_without_a_second_row_or_generation(shared: Shared) -> None:
    shared.start()
    expected = [shared.put(f"0{PAINTED}", 0), shared.put("1.png", 1)]
    shared.uploaded(2)
    shared.fired(1)
    for seed in (2, 4):  # and back again
        first = shared.watcher()
        assert first
        (second,) = [host for host in shared.both if host is not first]
        before = shared.ask("SELECT * FROM files ORDER BY id")
        scanned = shared.ask("SELECT scanned_at FROM folders WHERE name = 'drop'")
        first.signal(signal.SIGKILL)
        first.wait()
        until(lambda second=second: shared.watcher() is second, "the other one to watch")  # type: ignore[misc]
        until(
            lambda scanned=scanned: shared.ask("SELECT scanned_at FROM folders WHERE name = 'drop'") != scanned,  # type: ignore[misc]
            "its scan",
        )
        assert shared.ask("SELECT * FROM files ORDER BY id") == before, "it knew all that it saw"
        expected += [shared.put(f"{seed}{PAINTED}", seed), shared.put(f"{seed}.png", seed + 1)]
        shared.uploaded(len(expected))
        shared.fired(seed // 2 + 1)
        first.start()
        until(lambda first=first: first.pid in {row["pid"] for row in shared.ask("SELECT pid FROM hosts")}, "it again")  # type: ignore[misc]
    assert sorted(shared.paths()) == sorted(expected)
    assert len(shared.sandbox.objects) == len(expected)


def test_a_file_is_pushed_from_either_and_told_of_by_both(shared: Shared) -> None:
    shared.start()
    for number, host in enumerate(shared.both):
        shared.put(f"{number}{WIP}", number)
        done = host.call("push", "--wait", host.path(f"{number}{WIP}"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{host.path(f'{number}{WIP}')}\t")
    assert shared.paths() == [shared.linux.path(f"{number}{WIP}") for number in (0, 1)]
    for host in shared.both:
        names = [f"0{WIP}", f"1{WIP}"]
        assert sorted(row["path"] for row in host.answer("ls")["files"]) == [host.path(name) for name in names]
        assert host.answer("show", host.path(names[0]))["files"][0]["path"] == host.path(names[0])
        assert host.answer("show", f"drop/{names[1]}")["files"][0]["path"] == host.path(names[1])
        # As the others call it: whoever reads it in another one's log may ask for it by that.
        assert host.answer("show", shared.linux.path(names[0]))["files"][0]["path"] == host.path(names[0])
        (folder,) = host.answer("plan", "--offline")["folders"]
        assert (folder["path"], folder["uploads"], folder["reused"]) == (str(host.root), [], [])
        (folder,) = host.answer("status")["folders"]
        assert folder["path"] == str(host.root)
        checked = {each["what"]: each for each in host.answer("check", "--offline")["findings"]}
        assert "place" not in checked
        assert ("paths" in checked) == (host is shared.mac)


def test_results_and_what_tells_of_them_have_one_name_for_all(shared: Shared) -> None:
    shared.mac.start()
    shared.put(f"0{PAINTED}", 0)
    shared.fired(1)
    ((outputs,),) = [tuple(row.values()) for row in shared.ask("SELECT outputs FROM generations")]
    (output,) = json.loads(outputs)
    assert output["path"].startswith(f"{shared.drop}/generated/")
    here = Path(output["path"].replace(str(shared.drop), str(shared.drop if shared.how == MOUNTED else shared.volumes)))
    about = json.loads(here.with_name(f"{here.name}.layer.json").read_text())
    assert about["result"]["path"] == output["path"]
    assert [each["path"] for each in about["inputs"]] == [shared.linux.path(f"0{PAINTED}")]
    for host in shared.both:
        (made,) = host.answer("show", host.path(f"0{PAINTED}"))["generations"]
        assert [each["path"] for each in host.answer("show", f"g{made['id']}")["generations"][0]["results"]] == [
            output["path"].replace(str(shared.drop), str(host.root))
        ]


def test_what_would_take_the_name_of_another_place_is_not_pushed(shared: Shared) -> None:
    if shared.how == MOUNTED:
        pytest.skip("there that place is empty")
    path = shared.put(f"0{WIP}", 0)
    done = shared.mac.call("push", path)
    assert done.returncode == 2
    assert f"what it calls {shared.mac.path(f'0{WIP}')}" in done.stderr
    assert "nothing was recorded" in done.stderr
    assert shared.ask("SELECT * FROM pushed") == []


def test_a_host_that_has_forgotten_to_say_so_is_warned(shared: Shared) -> None:
    shared.linux.start()
    until(lambda: shared.ask("SELECT 1 FROM folders"), "the ledger to know where the folder is")
    text = shared.mac.config.read_text()
    shared.mac.config.write_text(text.partition("[ledger.paths]")[0])
    found = {each["what"]: each for each in shared.mac.answer("check", "--offline")["findings"]}
    assert found["place"]["level"] == "warning"
    assert str(shared.drop) in found["place"]["detail"]
    assert f'"{shared.mac.root}" = "{shared.drop}"' in found["place"]["do"]
    shared.mac.config.write_text(f'{text}"/nowhere" = "/elsewhere"\n')
    found = {each["what"]: each for each in shared.mac.answer("check", "--offline")["findings"]}
    assert found["paths"]["level"] == "warning", "the last line"
    assert "/nowhere" in found["paths"]["detail"]
    assert "place" not in found
