"""What every table of moves shares: a status and an event that do not go together."""


class IllegalMove(Exception):
    """A status and an event that do not go together: a bug in layerwatch, never a user's fault."""
