"""The ledger on PostgreSQL, for several hosts. Imported only where `[ledger] url` says so."""
