"""`python -m layerwatch`."""

from layerwatch.cli import main

if __name__ == "__main__":
    main()
