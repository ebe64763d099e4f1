"""A page as its reader has it: what is where, without the markup."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}
WITHIN_A_LINE = {"a", "b", "bdi", "code", "label", "span", "time"}


class Page(HTMLParser):
    """`texts` are the visible texts by the id of the element around them, `tags` all elements with their attributes.
    Raises `AssertionError` where an element is not closed as it has to be, or an id is given twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.title = ""
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._apart(tag)
        self.tags.append((tag, given))
        if id_ := given.get("id", ""):
            assert id_ not in self.texts, f"two elements are {id_}"
            self.texts[id_] = ""
        if tag not in VOID:
            self._open.append((tag, id_))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1][0] == tag, f"{self._open[-1]} is ended by {tag}"
        self._open.pop()
        self._apart(tag)

    def _apart(self, tag: str) -> None:
        if tag not in WITHIN_A_LINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "title":
            self.title += data
        for _, id_ in self._open:
            if id_:
                self.texts[id_] += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of each such element."""
        return [given for name, given in self.tags if name == tag and attributes.items() <= given.items()]

    def text(self, id_: str) -> str:
        """What an element says, with every gap a single space."""
        return " ".join(self.texts[id_].split())

    @property
    def ids(self) -> set[str]:
        return set(self.texts)
