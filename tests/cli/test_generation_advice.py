"""What generations fail with, or wait for, is answered as well as what files do: see tests/test_advice.py."""

import re
from pathlib import Path

import pytest

from layerwatch.advice import advice, generation_advice
from layerwatch.cli import COMMANDS
from layerwatch.errors import Code
from layerwatch.states import Generation

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text()
KEYS = set(re.findall(r"^#? ?(\w+) = ", EXAMPLE, re.MULTILINE)) | set(Generation)

NEVER = ("CONTENT_POLICY_VIOLATION", "IMAGE_TOO_SMALL", "IMAGE_TOO_LARGE")
COSTS_AGAIN = ("INTERNAL_SERVER_ERROR", "DOWNSTREAM_SERVICE_ERROR", "failed", "cancelled")
COSTS_NOTHING = ("time_limit", "result_too_large", "disk", "exists", "not_found")
HELD = ("over_per_generation", "over_daily", "burst", "price_unknown", "insufficient_units")
ALL = (*NEVER, *COSTS_AGAIN, *COSTS_NOTHING, *HELD, "input_missing", "superseded", "interrupted", "rule_gone", "rule")


@pytest.mark.parametrize("code", [*ALL, *Code])
@pytest.mark.parametrize("status", [Generation.FAILED, Generation.UNKNOWN])
def test_it_is_one_sentence_that_names_a_command_or_a_setting_that_exists(code: str, status: Generation) -> None:
    said = generation_advice(code, status)
    assert said[0].islower() or said[0] == "`"
    assert not said.endswith((".", " "))
    assert ". " not in said
    assert "  " not in said
    assert 40 < len(said) < 180
    names = re.findall(r"`([^`]+)`", said)
    assert names
    for name in names:
        program, _, command = name.partition(" ")
        assert command in COMMANDS if program == "layerwatch" else name in KEYS | {"uploaded", "failed"}, name


@pytest.mark.parametrize("code", NEVER)
def test_what_never_succeeds_is_not_to_be_retried(code: str) -> None:
    assert "a retry never succeeds" in generation_advice(code, Generation.FAILED)
    assert "`layerwatch retry`" not in generation_advice(code, Generation.FAILED)


def test_it_says_what_a_retry_costs() -> None:
    assert all("costs again" in generation_advice(code, Generation.FAILED) for code in COSTS_AGAIN)
    assert all("costs nothing" in generation_advice(code, Generation.FAILED) for code in COSTS_NOTHING)


@pytest.mark.parametrize("code", HELD)
def test_what_is_held_back_can_be_approved(code: str) -> None:
    assert "`layerwatch approve`" in generation_advice(code, Generation.BLOCKED)


@pytest.mark.parametrize("code", ["network", "server", "interrupted", "internal", None])
def test_what_is_unknown_can_only_be_resolved(code: str | None) -> None:
    said = generation_advice(code, Generation.UNKNOWN)
    assert "`layerwatch resolve`" in said
    assert "retry" not in said


def test_what_only_the_api_knows_is_answered_where_it_has_failed() -> None:
    assert "what Layer says" in generation_advice("BRAND_NEW_CODE", Generation.FAILED)
    assert generation_advice("BRAND_NEW_CODE", Generation.RUNNING) == ""
    assert generation_advice(None, Generation.COMPLETE) == ""


def test_what_files_meet_too_helps_generations_otherwise() -> None:
    assert generation_advice("expired", Generation.FAILED) != advice("expired")
    assert generation_advice("corrupt", Generation.FAILED) == advice("corrupt")
    assert advice("burst") == generation_advice("burst", Generation.BLOCKED)
