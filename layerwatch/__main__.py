"""`layerwatch`, and `python -m layerwatch`. The one command that hooks call by the thousand goes a short way of its
own, past all that the command line imports."""

import sys


def main() -> None:
    """The console script."""
    if sys.argv[1:2] == ["push"]:
        from layerwatch import push

        if push.main(sys.argv[2:]):
            return
    from layerwatch.cli import main as whole

    whole()


if __name__ == "__main__":
    main()
