"""Layer's API, its storage, the result files and webhooks over HTTP: the only room that knows httpx.

Status codes and transport faults become our errors here. The Layer token goes to Layer and nowhere else; the storage
and the result files get only what was signed. One `Layer`, `Storage` and `Assets` per thread (a shared pool, once
exhausted, may never recover).
"""

from layerwatch.api.answers import Accepted, Asset, Estimate, Kind, Progress, Remote
from layerwatch.api.assets import Assets, Download
from layerwatch.api.layer import Grant, Layer, Workspace
from layerwatch.api.storage import Storage
from layerwatch.api.webhook import Webhook
from layerwatch.api.wire import tls_context

__all__ = [
    "Accepted",
    "Asset",
    "Assets",
    "Download",
    "Estimate",
    "Grant",
    "Kind",
    "Layer",
    "Progress",
    "Remote",
    "Storage",
    "Webhook",
    "Workspace",
    "tls_context",
]
