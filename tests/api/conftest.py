"""A sandbox and a client for it; and clients for servers that the tests make up."""

import ssl
from collections.abc import Callable, Iterator

import pytest

from layerwatch.api import Assets, Layer, tls_context
from layerwatch.sandbox import Sandbox

Connect = Callable[..., Layer]


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    return tls_context()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def connect(tls: ssl.SSLContext) -> Iterator[Connect]:
    """Makes a client for an address, and closes it after the test."""
    made: list[Layer] = []

    def new(url: str, read_s: float = 10.0) -> Layer:
        made.append(Layer(url, "sandbox-token", "5a9db0c5-0000-4000-8000-000000000001", tls, read_s=read_s))
        return made[-1]

    yield new
    for layer in made:
        layer.close()


@pytest.fixture
def layer(sandbox: Sandbox, connect: Connect) -> Layer:
    return connect(sandbox.base_url)


@pytest.fixture
def assets(tls: ssl.SSLContext) -> Iterator[Assets]:
    assets = Assets(tls, read_s=10.0)
    yield assets
    assets.close()
