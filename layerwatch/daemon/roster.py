"""Who works: the threads, each with what of the configuration its work hangs on.

A new configuration gives a new list of posts. Where nothing changes for a post its thread goes on as if nothing had
happened; otherwise it finishes what it has in hand and leaves, and another one takes over.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Work = Callable[[threading.Event], None]


@dataclass(eq=False)
class Post:
    """One thread's work: it ends soon after `leave` is set. `depends` is compared with that of the post of the same
    name before: equal, and nobody changes. `alone`: it begins when whoever had the post, or another one at the same
    `place`, has gone."""

    name: str
    depends: object
    work: Work
    alone: bool = True
    place: str = ""
    leave: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def filled(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class Roster:
    """All posts. Only the main thread calls."""

    def __init__(self) -> None:
        self._posts: dict[str, Post] = {}
        self._leaving: list[Post] = []

    def fill(self, wanted: Iterable[Post]) -> list[str]:
        """Have these posts filled, and no others; returns the names of those that had to leave."""
        before, self._posts = self._posts, {}
        fresh = []
        for post in wanted:
            known = before.get(post.name)
            kept = known is not None and known.depends == post.depends
            self._posts[post.name] = known if known and kept else post
            if not kept:
                fresh.append(post)
        left = [post for name, post in before.items() if self._posts.get(name) is not post]
        for post in left:
            post.leave.set()
        self._leaving = [post for post in [*self._leaving, *left] if post.filled]
        for post in fresh:
            self._start(post)
        return [post.name for post in left]

    def _start(self, post: Post) -> None:
        before = [gone.thread for gone in self._leaving if gone.thread and post.alone and _is_same(gone, post)]

        def work() -> None:
            for thread in before:
                thread.join()
            post.work(post.leave)

        post.thread = threading.Thread(target=work, name=post.name, daemon=True)
        post.thread.start()

    def anybody_leaving(self) -> bool:
        """Whether some who are to go are still at it."""
        self._leaving = [post for post in self._leaving if post.filled]
        return bool(self._leaving)

    def threads(self) -> list[threading.Thread]:
        """Everybody who may still be at work."""
        return [post.thread for post in (*self._posts.values(), *self._leaving) if post.thread]


def _is_same(one: Post, other: Post) -> bool:
    return one.name == other.name or (one.place != "" and one.place == other.place)
