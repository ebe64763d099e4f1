"""What the API asks of one host, all do: two members of one real database."""

import threading
import time
from collections.abc import Iterator

import pytest

from layerwatch.daemon.restraint import Restraint
from layerwatch.errors import ApiDown, Code
from layerwatch.ledger import Ledger
from layerwatch.ledger.postgres.membership import Membership
from layerwatch.ledger.tenure import Daemon
from layerwatch.notices import Notice
from layerwatch.pacing import Gate, Pass


class Host:
    """One of them, without its threads."""

    def __init__(self, url: str, name: str) -> None:
        self.membership = Membership(url, name, Daemon(name, 1, "1", 20.0))
        self.membership.alive((), 1)
        self.gate = Gate(threading.Lock())
        self.told: list[Notice] = []
        self.restraint = Restraint(self.membership, self.gate, self.told.append)

    def refused(self, code: Code, after_s: float) -> None:
        now = time.monotonic()
        self.gate.down(Pass(now, probe=False), ApiDown(code, "slow down", after_s=after_s), now)

    def step(self) -> None:
        self.restraint.step(time.monotonic())


@pytest.fixture
def hosts(database: str) -> Iterator[tuple[Host, Host]]:
    Ledger(database).close()
    pair = Host(database, "one"), Host(database, "other")
    yield pair
    for host in pair:
        host.membership.leave()


def test_a_retry_after_holds_all_hosts_for_as_long(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.refused(Code.RATE_LIMITED, 30.0)
    one.step()
    other.step()
    assert other.gate.hold
    assert one.gate.hold
    assert other.gate.hold.message == "slow down"
    assert abs(other.gate.hold.until - one.gate.hold.until) < 5
    assert other.gate.admit(time.monotonic()) is None
    assert [(notice.event, notice.text) for notice in other.told] == [
        ("hold", "everything waits: host one was told: slow down")
    ]


def test_who_was_told_by_another_does_not_pass_it_on(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.refused(Code.RATE_LIMITED, 30.0)
    for _ in range(3):
        one.step()
        other.step()
    assert one.told == []
    assert len(other.told) == 1
    assert one.membership.held() is None


def test_what_is_one_hosts_own_trouble_is_nobody_elses(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.refused(Code.NETWORK, 30.0)
    one.step()
    other.step()
    assert other.gate.hold is None


def test_a_longer_time_wins_and_a_host_that_left_says_nothing_any_more(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.refused(Code.RATE_LIMITED, 20.0)
    other.refused(Code.RATE_LIMITED, 60.0)
    for _ in range(2):
        one.step()
        other.step()
    assert one.gate.hold
    assert one.gate.hold.until > time.monotonic() + 40
    other.membership.leave()
    assert one.membership.held() is None
