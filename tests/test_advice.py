"""Every error says what a person can do about it, in plain words, with the command or setting to use."""

import re
import tomllib
from pathlib import Path

import pytest

from layerwatch.advice import advice
from layerwatch.cli import COMMANDS
from layerwatch.errors import Code

EXAMPLE = (Path(__file__).parent.parent / "config.example.toml").read_text()
KEYS = set(re.findall(r"^#?(\w+) = ", EXAMPLE, re.MULTILINE))
STATUSES = {"uploaded", "failed", "skipped"}


def test_the_example_is_a_configuration() -> None:
    assert {"max_file_size", "settle", "token_file"} <= KEYS
    tomllib.loads(EXAMPLE)


@pytest.mark.parametrize("code", Code)
def test_it_names_a_command_or_a_setting_that_exists(code: Code) -> None:
    named = re.findall(r"`([^`]+)`", advice(code))
    assert [name for name in named if name not in STATUSES], "nothing to use is named"
    for name in named:
        program, _, command = name.partition(" ")
        assert command in COMMANDS if program == "layerwatch" else name in KEYS | STATUSES, name


@pytest.mark.parametrize("code", Code)
def test_it_is_one_sentence_in_plain_words(code: Code) -> None:
    said = advice(code)
    assert said[0].islower()
    assert not said.endswith((".", " "))
    assert ". " not in said
    assert "  " not in said
    assert 40 < len(said) < 180
    assert not re.search(r"\b(HTTP|API|errno|exception|null|invalid argument|[45]\d\d)\b", said)


@pytest.mark.parametrize("code", Code)
def test_what_is_given_up_and_may_be_tried_again_names_retry(code: Code) -> None:
    again = {
        Code.UNREADABLE, Code.FORBIDDEN, Code.UNAUTHORIZED, Code.REJECTED, Code.EXPIRED, Code.RATE_LIMITED,
        Code.NETWORK, Code.SERVER, Code.CORRUPT, Code.INTERNAL,
    }  # fmt: skip
    assert ("`layerwatch retry`" in advice(code)) is (code in again)


@pytest.mark.parametrize("code", [None, "", "a_code_of_somebody_else"])
def test_of_what_nobody_knows_it_says_nothing(code: str | None) -> None:
    assert advice(code) == ""


def test_a_code_is_known_by_its_text_as_the_ledger_has_it() -> None:
    assert advice("network") == advice(Code.NETWORK)
