"""`layerwatch`, and `python -m layerwatch`. The one command that hooks call by the thousand goes a short way of its
own, past all that the command line imports."""

import os
import sys


def main() -> None:
    """The console script."""
    # A shell that asks what could come next never wants anything done.
    if sys.argv[1:2] == ["push"] and "_LAYERWATCH_COMPLETE" not in os.environ:
        from layerwatch import push

        if push.main(sys.argv[2:]):
            return
    from layerwatch.cli import main as whole

    whole()


if __name__ == "__main__":
    main()
