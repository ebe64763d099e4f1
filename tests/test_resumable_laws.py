"""The storage protocol against a server that does all that the real one may do, and forgives nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from layerwatch.errors import NewUrl, TryAgain
from layerwatch.resumable import GRANULE, Answer, Query, Send, Start, Transfer

FAULTS = (
    "none",
    "not sent",  # the connection breaks before anything arrives
    "answer lost",  # all is done, and nobody hears of it
    "some kept, answer lost",
    "some kept",  # 308, for less than was sent
    "some kept, 503",
    "lazy",  # 308 without Range, though bytes are held
    "429",
    "410",  # the session is gone
    "412",
    "no location",
)


class LostAnswer(Exception):
    """Time-out, reset, write error: nobody knows what has arrived."""


@dataclass
class Server:
    """Meets `faults` one by one, one a request, and then behaves. With each comes how many granules it keeps of what is
    sent, when it keeps some."""

    size: int
    faults: Iterator[tuple[str, int]]
    sessions: int = 0
    held: int = 0
    done: bool = False
    log: list[str] = field(default_factory=list)

    def answer(self, request: Start | Query | Send, session: str | None) -> Answer:
        fault, keep = next(self.faults, ("none", 0))
        if fault == "not sent":
            raise LostAnswer
        if fault in ("429", "410"):
            return Answer(int(fault), {})
        if isinstance(request, Start):
            reply = self._start(fault)
        else:
            assert session == f"session {self.sessions}", "a session that was given up is used again"
            reply = self._query(request) if isinstance(request, Query) else self._put(request, fault, keep)
        if "lost" in fault:
            raise LostAnswer
        if fault == "some kept, 503":
            return Answer(503, {})
        return Answer(308, {}) if fault == "lazy" and reply.status == 308 and isinstance(request, Send) else reply

    def _start(self, fault: str) -> Answer:
        self.sessions, self.held, self.done = self.sessions + 1, 0, False
        return Answer(201, {} if fault == "no location" else {"location": f"session {self.sessions}"})

    def _query(self, request: Query) -> Answer:
        assert request.content_range == f"bytes */{self.size}"
        return self._state()

    def _put(self, request: Send, fault: str, keep: int) -> Answer:
        assert request.content_range == f"bytes {request.first}-{request.end - 1}/{self.size}"
        assert request.first == self.held, "neither skipped forward nor sent again"
        assert request.first < request.end <= self.size
        assert request.end == self.size or request.end % GRANULE == 0
        if fault == "412":
            return Answer(412, {})
        end = min(request.end, request.first + keep * GRANULE) if fault.startswith("some") else request.end
        # All of it is stored or whole granules are.
        self.held = end
        self.done = end == self.size
        return self._state()

    def _state(self) -> Answer:
        if self.done:
            return Answer(200, {"x-goog-stored-content-length": str(self.size)})
        return Answer(308, {"range": f"bytes=0-{self.held - 1}"} if self.held else {})


def attempt(server: Server, transfer: Transfer) -> bool:
    """Whether it came to its end; faults end it, as in the daemon."""
    first = True
    while request := transfer.next_request():
        if first:
            expected = Query if transfer.session else Start
            assert isinstance(request, expected), "an attempt begins with a question, or anew"
        first = False
        transfer.receive(server.answer(request, transfer.session))
    return True


def upload(server: Server, chunk_size: int) -> tuple[Transfer, int]:
    """Attempt after attempt with the saved session, until all is stored."""
    session: str | None = None
    for attempts in range(1, 100):
        transfer = Transfer(server.size, chunk_size, session=session)
        try:
            attempt(server, transfer)
        except NewUrl:
            session = None
        except (TryAgain, LostAnswer):
            session = transfer.session
        else:
            return transfer, attempts
    raise AssertionError("no end")


sizes = st.one_of(st.integers(1, 9 * GRANULE), st.integers(1, 9).map(lambda count: count * GRANULE))
faults = st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 4)), max_size=25)


@settings(max_examples=400, deadline=None)
@given(sizes, st.integers(1, 5).map(lambda count: count * GRANULE), faults)
def test_every_upload_ends_stored_whatever_goes_wrong_on_the_way(
    size: int, chunk_size: int, script: list[tuple[str, int]]
) -> None:
    server = Server(size, iter(script))
    transfer, attempts = upload(server, chunk_size)
    assert (server.done, server.held) == (True, size)
    assert transfer.stored is not None
    assert (transfer.stored.size, transfer.offset, transfer.next_request()) == (size, size, None)
    assert attempts <= len(script) + 1, "one fault costs one attempt at the most"


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(1, 5).map(lambda count: count * GRANULE))
def test_without_faults_one_attempt_sends_each_byte_once(size: int, chunk_size: int) -> None:
    server = Server(size, iter(()))
    transfer, attempts = upload(server, chunk_size)
    assert (attempts, server.sessions, transfer.session) == (1, 1, "session 1")


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.lists(st.integers(0, 12), max_size=10))
def test_a_server_that_forgets_what_it_held_is_sent_it_again(granules: int, chunk: int, left: list[int]) -> None:
    server, held_after = Server(granules * GRANULE - 1, iter(())), iter(left)
    transfer = Transfer(server.size, chunk * GRANULE)
    forgetful = False
    while request := transfer.next_request():
        if forgetful and not server.done:
            server.held = min(server.held, next(held_after, granules) * GRANULE)
        reply = server.answer(request, transfer.session)
        # Each answer to a send is lazy, so that the client has to ask, and hears of what was forgotten meanwhile.
        forgetful = isinstance(request, Send) and reply.status == 308
        try:
            transfer.receive(Answer(308, {}) if forgetful else reply)
        except TryAgain:
            transfer = Transfer(server.size, chunk * GRANULE, session=transfer.session)
    assert server.done
