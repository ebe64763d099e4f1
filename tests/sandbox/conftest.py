"""A sandbox of its own for each test, and a client for it."""

from collections.abc import Iterator

import pytest

from layerwatch.sandbox import Sandbox

from .steps import Steps


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def steps(sandbox: Sandbox) -> Iterator[Steps]:
    steps = Steps(sandbox)
    with steps.http:
        yield steps
