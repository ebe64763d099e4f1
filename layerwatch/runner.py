"""`step`: take the generation that is due, ask Layer how it stands, or fire it. What is paid for already comes first.

Each runner has a thread of its own; the ledger sees to it that no two ever work on the same generation.
"""

from logging import ERROR

from layerwatch import points
from layerwatch.claiming import Claims
from layerwatch.following import Follower
from layerwatch.ledger import Firing, Following, Ledger
from layerwatch.notices import Notice
from layerwatch.pacing import Pass
from layerwatch.paying import Payer
from layerwatch.workbench import Bench, Kit, Site


class Runner:
    """One runner's work, a step at a time. Drives every test without a thread."""

    def __init__(self, ledger: Ledger, kit: Kit, site: Site) -> None:
        self._bench = bench = Bench(ledger, kit, site)
        self._payer, self._follower = Payer(bench), Follower(bench)
        self._claims = Claims(ledger.new_claim, self._give_back)

    def step(self) -> bool:
        """Do one thing that is due. False when there was nothing to do."""
        gate, kit = self._bench.site.gate, self._bench.kit
        given = gate.admit(kit.monotonic())
        if given is None:
            return False
        job: Firing | Following | None = None
        try:
            with self._claims.one() as claim:
                job = self._claimed(claim)
                if job is not None:
                    self._work(job, given)
        finally:
            if job is None:
                gate.unused(given)
        return job is not None

    def _claimed(self, claim: str) -> Firing | Following | None:
        kit, ledger = self._bench.kit, self._bench.ledger
        now = kit.wall()
        return ledger.following.claim(claim, now) or (ledger.firing.claim(claim, now) if kit.may_pay() else None)

    def _work(self, job: Firing | Following, given: Pass) -> None:
        match job:
            case Following():
                self._follower.follow(job, given)
            case Firing():
                points.passed("taken")
                self._payer.fire(job, given)

    def _give_back(self, claim: str) -> None:
        for id_ in self._bench.ledger.firing.recover(self._bench.kit.wall(), claim):
            text = f"generation g{id_} may have been fired: see `layerwatch resolve g{id_}`"
            self._bench.site.tell(Notice("generation_unknown", text, ERROR, {"generation": id_}))
