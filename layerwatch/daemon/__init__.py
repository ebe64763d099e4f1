"""The daemon: every thread, signal, wait and stop is in this room, and nowhere else.

`run` starts, supervises and ends; `crew` is what each thread does; `signals` and `doorbell` are how they are woken.
"""

from layerwatch.daemon.run import Daemon, Ended

__all__ = ["Daemon", "Ended"]
