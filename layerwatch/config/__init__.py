"""The configuration: one TOML file, with the environment over it. The only room that knows pydantic.

Importing it reads nothing; `load` does, and either returns `Settings` or raises one `UserError` with every fault.
"""

from layerwatch.config.checks import PUSHED
from layerwatch.config.loading import load
from layerwatch.config.settings import (
    Action,
    AfterUpload,
    Api,
    Budget,
    Folder,
    Http,
    Kind,
    Ledger,
    Rule,
    Settings,
    Upload,
    Watch,
)
from layerwatch.config.values import AUTO

__all__ = [
    "AUTO",
    "PUSHED",
    "Action",
    "AfterUpload",
    "Api",
    "Budget",
    "Folder",
    "Http",
    "Kind",
    "Ledger",
    "Rule",
    "Settings",
    "Upload",
    "Watch",
    "load",
]
