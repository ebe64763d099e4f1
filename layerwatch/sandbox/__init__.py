"""A strict stand-in for Layer and its storage, over real HTTP on loopback.

For trying folders and rules without an account and without spending, and for the tests. Never a part of the daemon, and
never laxer than the real storage: a client that gets through here without a violation keeps the protocol.
"""

from layerwatch.sandbox.books import Rule, Violation
from layerwatch.sandbox.faults import Faults
from layerwatch.sandbox.server import DEFAULT_WORKSPACE, Sandbox
from layerwatch.sandbox.session import StoredObject
from layerwatch.sandbox.works import Generation

__all__ = ["DEFAULT_WORKSPACE", "Faults", "Generation", "Rule", "Sandbox", "StoredObject", "Violation"]
