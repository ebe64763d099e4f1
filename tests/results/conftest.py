"""The folder, on a filesystem that knows renameat2 and on one that does not."""

from pathlib import Path

import pytest

from tests.aftermath.world import without_renameat2
from tests.results.world import World


@pytest.fixture(params=[True, False], ids=["renameat2", "links only"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    if not request.param:
        without_renameat2(monkeypatch)
    return World(tmp_path.resolve() / "base")
