"""`step`: take the generation that is due, ask Layer how it stands, or fire it. What is paid for already comes first.

Each runner has a thread of its own; the ledger sees to it that no two ever work on the same generation.
"""

from layerwatch import points
from layerwatch.following import Follower
from layerwatch.ledger import Firing, Following, Ledger
from layerwatch.paying import Payer
from layerwatch.workbench import Bench, Kit, Site


class Runner:
    """One runner's work, a step at a time. Drives every test without a thread."""

    def __init__(self, ledger: Ledger, kit: Kit, site: Site) -> None:
        self._bench = bench = Bench(ledger, kit, site)
        self._payer, self._follower = Payer(bench), Follower(bench)

    def step(self) -> bool:
        """Do one thing that is due. False when there was nothing to do."""
        gate, kit, ledger = self._bench.site.gate, self._bench.kit, self._bench.ledger
        given = gate.admit(kit.monotonic())
        if given is None:
            return False
        job: Firing | Following | None = None
        try:
            claim, now = ledger.new_claim(), kit.wall()
            job = ledger.following.claim(claim, now) or ledger.firing.claim(claim, now)
        finally:
            if job is None:
                gate.unused(given)
        match job:
            case Following():
                self._follower.follow(job, given)
            case Firing():
                points.passed("taken")
                self._payer.fire(job, given)
        return job is not None
