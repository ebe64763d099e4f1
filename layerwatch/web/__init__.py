"""HTTP for people and monitoring: `/`, `/healthz`, `/metrics`. Read-only, and never a secret.

`sight` is all that the daemon shows of itself; everything else comes from the ledger, asked anew for each answer.
Imported only where `[http] listen` is set: a daemon without a page does not pay for it.
"""
