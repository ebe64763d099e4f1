"""Before a configuration counts: does Layer take the credentials, and what does it say of the rules?"""

import logging

from layerwatch.api import Layer, Workspace
from layerwatch.config import Settings
from layerwatch.errors import Code, CredentialsRefused, JobError, NotTheApi, Problem, UserError
from layerwatch.notices import Notice, Tell
from layerwatch.precheck import check_rules


def admit(settings: Settings, layer: Layer, tell: Tell, *, rules: bool) -> JobError | None:
    """Ask Layer; returns why it could not be asked just now: waiting is what layerwatch is for.

    Raises `UserError` where nothing but another configuration would help.
    """
    try:
        workspace = layer.workspace()
        if rules:
            _admit_rules(settings, layer, tell)
    except JobError as error:
        _insist_on_credentials(settings, error)
        tell(Notice("api_unavailable", f"{error.message}; files are recorded, uploads wait", logging.WARNING))
        return error
    tell(Notice("connected", _greeting(workspace), facts={"workspace_id": workspace.workspace_id}))
    return None


def _insist_on_credentials(settings: Settings, error: JobError) -> None:
    if error.code in (Code.UNAUTHORIZED, Code.FORBIDDEN):
        fix = "give a valid token (LAYER_TOKEN or token_file) of a member of api.workspace_id"
        raise CredentialsRefused(Problem(settings.api.base_url, error.message, fix)) from None
    if isinstance(error, NotTheApi):
        where = f"{settings.path}: api.base_url"
        raise UserError(Problem(where, error.message, "Layer's is https://api.app.layer.ai/api")) from None


def _admit_rules(settings: Settings, layer: Layer, tell: Tell) -> None:
    try:
        found = list(check_rules(layer, settings.folders, settings.path))
    except JobError as error:
        text = f"the rules could not be held against what Layer knows: {error.message}"
        tell(Notice("rules_unchecked", text, logging.WARNING))
        return
    for each in found:
        if each.is_warning:
            tell(Notice("configuration", str(each.problem), logging.WARNING))
    if errors := [each.problem for each in found if not each.is_warning]:
        raise UserError(*errors)


def _greeting(workspace: Workspace) -> str:
    name = workspace.name or workspace.workspace_id
    return f"connected to workspace {name}" + (
        f", {workspace.available:g} Creative Units available" if workspace.available is not None else ""
    )
