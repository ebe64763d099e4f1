"""Two hosts that have mounted one share at different places, and one ledger: what one writes, the other has."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from layerwatch.errors import Code
from layerwatch.ledger import FolderState, Ledger, Waiting
from layerwatch.ledger.connection import Store
from layerwatch.ledger.plans import Plan
from layerwatch.names import Names
from layerwatch.states import Event
from tests.ledgers import new_ledger

from .builders import (
    RULE,
    T0,
    WORKSPACE,
    all_there_is,
    book,
    claimed,
    fire,
    followed,
    planned_for,
    raw,
    record,
    refusal,
    shown,
    status_of,
    taken,
    version,
)

LINUX, MAC = "/mnt/render", "/Volumes/render"
ODD = "\udcff.png"


@dataclass(frozen=True)
class Host:
    """One of them, and where it has the share."""

    ledger: Ledger
    root: str

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def found(self, name: str, content: bytes = b"a", **more: Any) -> tuple[int, Event | None]:
        """What recording this file does."""
        (recorded,) = record(self.ledger, version(self.path(name), content, **more))
        return recorded.id, recorded.event

    def upload(self, *, aftermath: bool = False) -> int:
        job = claimed(self.ledger)
        assert job.path.startswith(f"{self.root}/")
        about: dict[str, Any] = {"file_id": f"file-{job.id}", "workspace_id": WORKSPACE, "verified": "crc32c"}
        key = os.path.basename(job.path)
        event = Event.REUSED if job.twin else Event.STORED
        self.ledger.files.uploaded(job, event, T0, aftermath=aftermath, rule_key=key, deliver=True, **about)
        return job.id

    def watches(self) -> None:
        self.ledger.facts.folder("drop", self.root, FolderState.WATCHING, T0, detail="", mount=self.root)

    def plan(self, id_: int, **more: Any) -> Plan:
        return planned_for(shown(self.ledger, id_), **more)


Hosts = tuple[Host, Host]


@pytest.fixture
def hosts(path: str) -> Iterator[Hosts]:
    """One that goes by the ledger's names, and one that does not."""
    with new_ledger(path, durable=False) as one, Ledger(path, durable=False, names=Names.of({MAC: LINUX})) as other:
        linux, mac = Host(one, LINUX), Host(other, MAC)
        linux.watches()
        yield linux, mac


def stored_paths(path: str) -> set[str]:
    rows = raw(path, "SELECT path FROM files UNION SELECT path FROM pushed UNION SELECT path FROM generations")
    return {os.fsdecode(each) for (each,) in rows}


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "shots/a.png", ODD, f"\udcfe/{ODD}"])
def test_a_file_has_one_row_whoever_finds_it(hosts: Hosts, path: str, name: str) -> None:
    linux, mac = hosts
    id_, event = mac.found(name)
    assert event is Event.SEEN
    assert linux.found(name) == mac.found(name) == (id_, None)
    assert raw(path, "SELECT count(*) FROM files") == [(1,)]
    assert stored_paths(path) == {linux.path(name)}
    for host in hosts:
        directory = os.path.dirname(host.path(name))
        assert host.ledger.files.known(directory) == {host.path(name): [(host.path(name), *version().identity)]}
        assert host.ledger.files.is_known(host.path(name), version().identity)
        assert [row.path for row in host.ledger.reports.versions(host.path(name))] == [host.path(name)]
        assert list(host.ledger.reports.directories()) == [directory]
        assert [row.path for row in host.ledger.reports.newest_in(directory)] == [host.path(name)]
        assert [row.path for row in host.ledger.reports.known_at(host.path(name))] == [host.path(name)]


def test_many_are_recorded_at_once_and_refused_ones_go_on(hosts: Hosts, path: str) -> None:
    linux, mac = hosts
    (refused,) = record(linux.ledger, refusal(linux.path("7.png")))
    found = record(mac.ledger, *(version(mac.path(f"{n}.png"), bytes([n])) for n in range(60)))
    assert found[7].id == refused.id
    assert {each.event for each in found} == {Event.SEEN}
    assert stored_paths(path) == {linux.path(f"{n}.png") for n in range(60)}


@pytest.mark.parametrize("name", ["a.png", ODD])
def test_either_uploads_what_the_other_found(hosts: Hosts, name: str) -> None:
    for finder, uploader in (hosts, hosts[::-1]):
        id_, _ = finder.found(name, uploader.root.encode())
        job = claimed(uploader.ledger)
        assert (job.id, job.path) == (id_, uploader.path(name))
        uploader.ledger.files.recover(T0, job.claim)
        assert finder.upload() == id_


def test_what_was_pushed_is_taken_by_either(hosts: Hosts, path: str) -> None:
    for pusher, taker in (hosts, hosts[::-1]):
        name = f"{len(pusher.root)}.png"
        ids = pusher.ledger.pushes.add([pusher.path(name)], None, T0)
        (push,) = taker.ledger.pushes.untaken(0, 9)
        assert push.path == taker.path(name)
        taker.ledger.pushes.taken([(push, version(push.path, name.encode()))], T0)
        assert [each.path for each in pusher.ledger.pushes.outcomes(ids)] == [pusher.path(name)]
        assert len(taker.ledger.outstanding.pushes(taker.path(name))) == 1
    assert all(each.startswith(LINUX) for each in stored_paths(path))


def test_where_a_file_was_moved_to_is_told_as_the_asking_host_has_it(hosts: Hosts, path: str) -> None:
    linux, mac = hosts
    id_, _ = linux.found("a.png")
    linux.upload(aftermath=True)
    job = mac.ledger.finishing.claim("me", T0)
    assert job
    assert (job.path, job.called) == (mac.path("a.png"), linux.path("a.png"))
    detail = "moved to {}; receipt written"
    mac.ledger.finishing.finished(job, done=True, detail=detail.format(mac.path(f"up/{ODD}")), code=None, now=T0)
    assert MAC not in repr(raw(path, "SELECT aftermath_detail FROM files"))
    for host in hosts:
        said = detail.format(host.path(f"up/{ODD}"))
        assert host.ledger.outstanding.of_file(id_).aftermath_detail == said
        known = host.ledger.reports.known(id_)
        assert known
        assert known.aftermath_detail == said
        (line,) = [line for line in host.ledger.reports.history(id_) if line.event == "finished"]
        assert line.detail == detail.format(host.path("up/\ufffd.png"))  # a message, with what it quotes


def test_a_message_is_told_as_it_was_said(hosts: Hosts) -> None:
    linux, mac = hosts
    mac.found("a.png")
    mac.upload(aftermath=True)
    job = mac.ledger.finishing.claim("me", T0)
    assert job
    mac.ledger.finishing.finished(job, done=False, detail=f"kept: {MAC} is full", code="x", now=T0)
    assert linux.ledger.outstanding.of_file(job.id).aftermath_detail == f"kept: {MAC} is full"


# --- what the daemon knows --------------------------------------------------------------------------------------------


def test_the_folder_is_the_same_wherever_it_is_watched(hosts: Hosts) -> None:
    linux, mac = hosts
    linux.ledger.facts.folder_scanned("drop", 0, T0)
    mac.watches()
    for host in hosts:
        facts = host.ledger.facts.one_folder("drop")
        assert facts
        assert (facts.path, facts.mount) == (host.root, host.root)
        assert facts.known_at, "it was not taken for another folder"
        assert host.ledger.facts.folders() == [facts]


def test_a_mount_point_above_the_share_is_that_hosts_alone(hosts: Hosts) -> None:
    linux, mac = hosts
    linux.ledger.facts.folder("drop", LINUX, FolderState.WATCHING, T0, detail="", mount="/mnt")
    mac.ledger.facts.folder("drop", MAC, FolderState.WATCHING, T0, detail="", mount="/Volumes")
    facts = [host.ledger.facts.one_folder("drop") for host in hosts]
    assert [each and each.mount for each in facts] == ["/mnt", None]


def test_what_waits_is_told_to_both_and_forgotten_by_either(hosts: Hosts) -> None:
    linux, mac = hosts
    for host, other in (hosts, hosts[::-1]):
        host.ledger.facts.waiting(Waiting(host.path("a.png"), "drop", 3, "truncated", T0), T0)
        assert [each["path"] for each in other.ledger.reports.candidates()] == [other.path("a.png")]
        assert other.ledger.reports.waits(other.path("a.png"))
        other.ledger.facts.no_longer_waiting([other.path("a.png")])
        assert host.ledger.reports.waiting() == 0
    mac.found("b.png")
    oldest = linux.ledger.gauges.oldest_queued(["drop"])
    assert oldest
    assert oldest.path == linux.path("b.png")


# --- generations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", ODD])
def test_both_know_a_generation_by_the_same_key(hosts: Hosts, name: str) -> None:
    linux, mac = hosts
    linux.found(name)
    id_ = mac.upload()
    keys = {host.plan(id_).key(host.ledger.names) for host in hosts}
    assert len(keys) == 1
    assert keys == {mac.plan(id_).key(Names.of({MAC: LINUX}))}
    assert mac.plan(id_).key(Names()) not in keys, "the path is a part of it"


@pytest.mark.parametrize(("name", "key"), [("a.png", "3cef724f4ca78c8317e3"), (ODD, "a557ba22822812ac2034")])
def test_the_key_is_what_it_was_before_there_were_names(hosts: Hosts, name: str, key: str) -> None:
    """Or else all that older versions have fired would be paid for again."""
    for host in hosts:
        host.found(name)
    id_ = hosts[0].upload()
    assert {host.plan(id_).key(host.ledger.names)[:20] for host in hosts} == {key}


@pytest.mark.parametrize("name", ["a.png", ODD])
def test_a_rule_fires_once_whoever_plans(hosts: Hosts, name: str, path: str) -> None:
    linux, mac = hosts
    linux.found(name)
    id_ = linux.upload()
    (first,) = linux.ledger.planning.plan(shown(linux.ledger, id_), [linux.plan(id_)], T0)
    for host in (mac, linux):  # once more, from the file's beginning
        (again,) = host.ledger.planning.plan(None, [host.plan(id_)], T0)
        assert (again.id, again.event) == (first.id, None)
    fire(mac.ledger)
    for host in hosts:
        (again,) = host.ledger.planning.plan(None, [host.plan(id_)], T0)
        assert (again.id, again.event) == (first.id, None)
    assert raw(path, "SELECT count(*) FROM generations") == [(1,)]


def test_a_newer_version_that_the_other_found_takes_the_place_of_what_waits(hosts: Hosts) -> None:
    linux, mac = hosts
    linux.found("a.png", b"old")
    (waiting,) = linux.ledger.planning.plan(None, [linux.plan(linux.upload(), missing="depth")], T0)
    mac.found("a.png", b"new", mtime_ns=2)
    (ready,) = mac.ledger.planning.plan(None, [mac.plan(mac.upload())], T0)
    assert ready.id == waiting.id
    assert status_of(linux.ledger, ready.id) == "queued"


def test_companions_and_sidecars_are_found_by_either(hosts: Hosts) -> None:
    for finder, planner in (hosts, hosts[::-1]):
        name = f"shot{len(finder.root)}"
        finder.found(f"{name}.png", finder.root.encode())
        id_ = finder.upload()
        record(finder.ledger, refusal(finder.path(f"{name}.txt"), Code.SIDECAR))
        planning = planner.ledger.planning
        by_key = planning.exactly("drop", f"{name}.png", planner.path(f"{name}.png"))
        by_path = planning.exactly("drop", "none", planner.path(f"{name}.png"))
        assert by_key
        assert by_path
        assert by_key.path == by_path.path == planner.path(f"{name}.png")
        assert [each.path for each in planning.beginning_with("drop", name)] == [planner.path(f"{name}.png")]
        assert planning.sidecars(planner.path(f"{name}.TXT")) == [planner.path(f"{name}.txt")]
        assert [each.id for each in planning.pending(["drop"], 9)] == [id_]
        planner.ledger.planning.plan(shown(planner.ledger, id_), [], T0)


def test_a_changed_sidecar_sends_the_file_beside_it_through_the_rules(hosts: Hosts) -> None:
    linux, mac = hosts
    linux.found("a.png")
    id_ = linux.upload()
    linux.ledger.planning.plan(shown(linux.ledger, id_), [linux.plan(id_)], T0)
    assert linux.ledger.planning.pending(["drop"], 9) == []
    record(mac.ledger, refusal(mac.path("a.txt"), Code.SIDECAR))
    assert [(each.id, each.recheck) for each in linux.ledger.planning.pending(["drop"], 9)] == [(id_, True)]


def test_who_waits_for_a_companion_is_found_by_either(hosts: Hosts) -> None:
    linux, mac = hosts
    linux.found("a.png")
    trigger = linux.upload()
    linux.ledger.planning.plan(shown(linux.ledger, trigger), [linux.plan(trigger, missing="depth")], T0)
    (found,) = mac.ledger.planning.triggers_missing("drop", RULE, "a_depth.png")
    assert (found.id, found.path) == (trigger, mac.path("a.png"))
    mac.found("a_depth.png", b"depth")
    depth = mac.upload()
    companions = {"depth": shown(mac.ledger, depth)}
    mac.ledger.planning.plan(None, [mac.plan(trigger, companions=companions)], T0)
    (found,) = linux.ledger.planning.triggers_using("drop", RULE, linux.path("a_depth.png"))
    assert (found.id, found.path) == (trigger, linux.path("a.png"))


@pytest.mark.parametrize("result", ["out/a.png", f"out/{ODD}"])
def test_results_lie_where_the_asking_host_has_them(hosts: Hosts, result: str, path: str) -> None:
    linux, mac = hosts
    linux.found("a.png")
    id_ = linux.upload()
    (planned,) = linux.ledger.planning.plan(shown(linux.ledger, id_), [linux.plan(id_)], T0)
    job = taken(mac.ledger)
    assert job.path == mac.path("a.png")
    book(mac.ledger, job)
    mac.ledger.firing.accepted(job, "r", T0, price=None, poll_at=T0, deadline=T0 + 9)
    begun = followed(mac.ledger)
    mac.ledger.following.intend(begun, 1, mac.path(result), "0" * 64, 5)
    mac.ledger.following.saved(begun, 1)
    mac.ledger.following.again(begun, T0)
    job_again = followed(linux.ledger)
    assert [each.path for each in job_again.results] == [linux.path(result)]
    outputs: list[dict[str, Any]] = [{"path": linux.path(result), "size": 5}, {"url": "https://cdn.example/2"}]
    linux.ledger.following.completed(job_again, outputs, 1.0, None, T0, deliver=True)
    (written,) = raw(path, "SELECT outputs FROM generations")
    assert json.loads(written[0])[0]["path"] == linux.path(result)
    for host in hosts:
        stories = host.ledger.stories
        row = stories.one(planned.id)
        assert row
        assert row.path == host.path("a.png")
        assert [dict(each) for each in row.outputs] == [{"path": host.path(result), "size": 5}, outputs[1]]
        assert [each["path"] for each in stories.results(planned.id)] == [host.path(result)]
        assert [each[1] for each in stories.saved_results()] == [host.path(result)]
        assert [each.path for each in stories.inputs(planned.id)] == [host.path("a.png")]
        assert [each.id for each in stories.of_path(host.path("a.png"))] == [planned.id]


def test_outputs_of_a_host_go_by_the_ledgers_names(hosts: Hosts, path: str) -> None:
    _, mac = hosts
    mac.found("a.png")
    id_ = mac.upload()
    mac.ledger.planning.plan(shown(mac.ledger, id_), [mac.plan(id_)], T0)
    fire(mac.ledger)
    job = followed(mac.ledger, T0 + 3)
    mac.ledger.following.completed(job, [{"path": mac.path("o.png")}], None, None, T0, deliver=False)
    assert MAC not in repr(all_there_is(path))


# --- a copy, and who watches ------------------------------------------------------------------------------------------


def test_a_copy_has_the_names_of_the_ledger(hosts: Hosts, tmp_path: Any) -> None:
    linux, mac = hosts
    linux.found("a.png")
    copied = str(tmp_path / "copy.db")
    mac.ledger.copy_to(copied)
    with Ledger(copied, durable=False, names=mac.ledger.names) as copy:
        assert Host(copy, MAC).found("a.png") == (1, None)
        assert claimed(copy).path == mac.path("a.png")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_one_at_a_time_watches_a_folder_wherever_it_is_mounted(hosts: Hosts, path: str) -> None:
    from layerwatch.ledger.postgres.membership import Membership
    from layerwatch.ledger.tenure import Daemon

    one, other = (Membership(path, h.root, Daemon(h.root, 1, "1", 20.0), h.ledger.names) for h in hosts)
    try:
        assert one.watches(LINUX)
        assert not other.watches(MAC)
        assert other.watches(f"{MAC}/other")
        one.leaves(LINUX)
        assert other.watches(MAC)
        assert not one.watches(LINUX)
        other.leaves(MAC)
        assert one.watches(LINUX)
    finally:
        one.leave()
        other.leave()


def test_every_store_says_what_it_calls_files(hosts: Hosts) -> None:
    ask: Callable[[Ledger], Store] = lambda ledger: ledger._store  # noqa: E731
    for host in hosts:
        assert ask(host.ledger).names == host.ledger.names
        with ask(host.ledger).write() as connection:
            assert connection.names == host.ledger.names
