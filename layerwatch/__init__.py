"""layerwatch: a drop-folder daemon for Layer. Every finished file uploaded once, every result accounted for."""

__version__ = "0.1.0"
