"""The soak in its short form; `python -m tests.system.soak` is the long one."""

from pathlib import Path

import pytest

from tests.system.soak import soak, table


@pytest.mark.timeout(300)
def test_every_fault_at_once_and_random_kills(tmp_path: Path) -> None:
    outcome = soak(tmp_path, files=30, seed=7, kills=2, errors=0.1, workers=2)
    assert outcome.broken == (), table(outcome)
