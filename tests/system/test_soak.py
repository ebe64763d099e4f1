"""The soak in its short form; `python -m tests.system.soak` is the long one."""

from pathlib import Path

import pytest

from tests.system.soak import soak, table


@pytest.mark.timeout(300)
def test_every_fault_at_once_and_random_kills(tmp_path: Path) -> None:
    outcome = soak(tmp_path, files=20, seed=7, kills=2, errors=0.05, workers=4)
    assert outcome.broken == (), table(outcome)
