"""What is a database's URL, what of it may be shown, and that its password never is."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch import redact
from layerwatch.config.addresses import database, passwords, without_password
from layerwatch.config.faults import Fault

SECRET = "openSesame99"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db.studio.lan/layerwatch", "postgresql://db.studio.lan/layerwatch"),
        (f"postgres://me:{SECRET}@db/layerwatch", "postgresql://db/layerwatch"),
        (f"postgresql://me:{SECRET}@[::1]:5433/d?sslmode=require", "postgresql://[::1]:5433/d"),
        (f"postgresql:///d?host=/run/postgresql&password={SECRET}", "postgresql:///d"),
        (f"postgresql://me:{SECRET}@one:1,two:2/d", "postgresql://one:1,two:2/d"),
    ],
)
def test_what_may_be_shown_is_server_and_database(url: str, shown: str) -> None:
    assert database(url) == url
    assert without_password(url) == shown
    assert list(passwords(url)) == ([SECRET] if SECRET in url else [])


@pytest.mark.parametrize(
    "url",
    [
        *(f"postgresql://me:open{mark}Sesame99@db/d" for mark in "@/?#: "),
        "postgresql://me:open%zzSesame99@db/d",
        "postgresql://me:openSesame99",
        "postgresql://me:open%00Sesame99@db/d",
        "mysql://me:openSesame99@db/d",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(Fault) as caught:
        database(url)
    assert "Sesame" not in f"{caught.value.reason} {caught.value.fix}"
    assert "Sesame" not in without_password(url)


@given(st.text(min_size=8, alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_password_is_shown_whatever_it_is(password: str) -> None:
    url = f"postgresql://me:{quote(password, safe='')}@db.example/d"
    assert database(url) == url
    assert without_password(url) == "postgresql://db.example/d"


def test_a_password_that_is_no_secret_in_other_texts_stays_in_them() -> None:
    assert list(passwords("postgresql://layerwatch:layerwatch@db/layerwatch")) == []
    assert list(passwords("postgresql://me:short@db/d")) == []


def test_a_url_in_any_text_loses_its_password() -> None:
    text = f'it is "postgresql://me:{SECRET}@db/d", and "postgres://me@db/d"'
    assert redact.redact(text) == 'it is "postgresql://me:[redacted]@db/d", and "postgres://me@db/d"'
