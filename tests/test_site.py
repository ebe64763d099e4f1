"""What the configuration says of a job: its rule, its file's place, and whether a result may come back."""

from typing import Any

import pytest

from layerwatch.config import Action, AfterUpload, Folder, Rule
from layerwatch.finish import Policy
from layerwatch.ledger import Input, Origin
from layerwatch.site import relative, rule_of, why_no_input

MODEL = "00000000-0000-4000-8000-000000000001"


def rule(**about: Any) -> Rule:
    return Rule(**{"name": "restyle", "match": "*.png", "model_id": MODEL, "outputs": "generated", **about})


def folders(*rules: Rule) -> dict[str, Folder]:
    return {
        "drop": Folder(name="drop", path="/srv/drop", rules=rules),
        "next": Folder(name="next", path="/srv/drop/generated"),
        "root": Folder(name="root", path="/"),
    }


ROOTS = {"drop": "/srv/drop", "next": "/srv/drop/generated", "root": "/"}


def seen(path: str, folder: str = "drop", *, outside: bool = False) -> Input:
    return Input(1, folder, path, "hash", "file", 0, outside=outside)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (seen("/srv/drop/a.png"), "a.png"),
        (seen("/srv/drop/sub/a.png"), "sub/a.png"),
        (seen("/srv/dropped/a.png"), None),
        (seen("/elsewhere/a.png"), None),
        (seen("/elsewhere/a.png", outside=True), "a.png"),
        (seen("/a.png", "root"), "a.png"),
        (seen("/srv/drop/a.png", "gone"), None),
        (seen("/srv/drop/a.png", "gone", outside=True), None),
    ],
)
def test_where_a_file_lies_below_its_folder(of: Input, expected: str | None) -> None:
    assert relative(folders(), ROOTS.__getitem__, of) == expected


def test_a_rule_is_found_by_the_names_of_its_folder_and_its_own() -> None:
    own = rule()
    configured = folders(own)
    assert rule_of(configured, "drop", "restyle") is own
    assert [rule_of(configured, *names) for names in (("drop", "x"), ("next", "restyle"), ("gone", "restyle"))] == (
        [None] * 3
    )


CIRCLES = "a result of generation g7: taking it as a new file would go round in circles"


@pytest.mark.parametrize(
    ("about", "depth", "folder", "expected"),
    [
        ({}, 1, "next", CIRCLES),
        ({"chain": True}, 1, "next", None),
        ({"chain": True}, 1, "drop", CIRCLES),
        ({"chain": True, "outputs": "other"}, 1, "next", CIRCLES),
        ({"chain": True, "chain_depth": 2}, 2, "next", None),
        (
            {"chain": True, "chain_depth": 2}, 3, "next",
            "a result of generation g7, which is number 3 in its chain: chain_depth is 2",
        ),
        ({"chain": True, "name": "renamed"}, 1, "next", CIRCLES),
    ],
)  # fmt: skip
def test_a_result_is_a_file_only_where_a_chain_of_rules_says_so(
    about: dict[str, Any], depth: int, folder: str, expected: str | None
) -> None:
    configured = folders(rule(**about))
    origin = Origin(7, depth, "drop", "restyle")
    assert why_no_input(configured, ROOTS.__getitem__, configured[folder], origin) == expected


def test_a_result_of_a_folder_that_is_not_configured_any_more_is_no_file() -> None:
    configured = folders()
    assert why_no_input(configured, ROOTS.__getitem__, configured["next"], Origin(7, 1, "gone", "restyle")) == CIRCLES


@pytest.mark.parametrize(
    ("about", "expected", "is_wanted"),
    [
        ({}, Policy(), False),
        ({"receipt": True}, Policy(receipt=True), True),
        ({"after_upload": "move", "move_to": "done"}, Policy(AfterUpload.MOVE, "done"), True),
        ({"after_upload": "delete"}, Policy(AfterUpload.DELETE), True),
        ({"rules": (rule(),)}, Policy(rules=True), False),
        ({"on_uploaded": Action(command=("true",))}, Policy(tells=True), False),
    ],
)
def test_what_a_folder_wants_done_is_what_its_configuration_says(
    about: dict[str, Any], expected: Policy, is_wanted: bool
) -> None:
    policy = Policy.of(Folder(name="drop", path="/srv/drop", **about))
    assert policy.wanted is is_wanted
    assert (policy.after_upload, policy.receipt, policy.rules, policy.tells) == (
        expected.after_upload, expected.receipt, expected.rules, expected.tells,
    )  # fmt: skip
    assert not expected.move_to or policy.move_to == expected.move_to
