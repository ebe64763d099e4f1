"""The settings as the rest of the program sees them: frozen, complete, every value checked by itself.

What several values mean together is judged in `checks`; where they come from is `loading`'s business.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, StrictBool
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from layerwatch.config import addresses, path_map, roles, values
from layerwatch.config.credentials import NO_TOKEN, no_workspace
from layerwatch.config.units import GIB, MIB
from layerwatch.errors import Problem, UserError
from layerwatch.locate import default_ledger_path
from layerwatch.names import Names


class Table(BaseModel):
    """What all tables share: no key but the known ones, no change after loading, no value in an error's text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, protected_namespaces=()
    )


@dataclass(frozen=True, slots=True)
class Secret:
    """What a file of the configuration's held when it was loaded, or what is wrong with it."""

    text: SecretStr | None = None
    problems: tuple[Problem, ...] = ()

    def get(self) -> SecretStr | None:
        if self.problems:
            raise UserError(*self.problems)
        return self.text


class Watch(StrEnum):
    AUTO = "auto"
    NATIVE = "native"
    POLLING = "polling"


class AfterUpload(StrEnum):
    KEEP = "keep"
    MOVE = "move"
    DELETE = "delete"


class Kind(StrEnum):
    INFERENCE = "inference"
    WORKFLOW = "workflow"


class Api(Table):
    base_url: values.BaseUrl = "https://api.app.layer.ai/api"
    workspace_id: values.Uuid | None = None
    token: SecretStr | None = None
    token_file: values.AbsolutePath | None = None


def _default_path(before: dict[str, Any]) -> str:
    """Beside a `url` nobody needs one, least of all a user without a home directory: a path that no ledger can have."""
    return default_ledger_path() if before.get("url") is None else "/"


class Ledger(Table):
    url: values.DatabaseUrl | None = None
    path: values.AbsolutePath = Field(default_factory=_default_path)
    host: values.Name | None = None
    lease: values.Lease = 20.0
    paths: dict[str, str] = Field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it is: the path of an SQLite database, or the URL of a PostgreSQL one, which may hold a password."""
        return self.path if self.url is None else self.url.get_secret_value()

    @property
    def shown(self) -> str:
        """The same, as anybody may see it."""
        return self.path if self.url is None else addresses.without_password(self.url.get_secret_value())

    @cached_property
    def names(self) -> Names:
        """What files are called there: as `paths` has it, by the real paths of its left sides as they are the first
        time that it is asked for."""
        return path_map.names_of(self.paths)


class Upload(Table):
    workers: values.Workers = values.AUTO
    chunk_size: values.ChunkSize = 8 * MIB
    max_file_size: values.Size = 64 * MIB
    max_attempts: values.Attempts = 8
    max_bandwidth: values.Rate | None = None


class Budget(Table):
    """Creative Units; `None` is no limit."""

    per_generation: values.Amount | None = None
    daily: values.Amount | None = None
    burst: values.Count | None = None


class Http(Table):
    listen: values.Listen | None = None
    token_file: values.AbsolutePath | None = None
    hosts: tuple[values.HostName, ...] = ()
    oldest_waiting: values.TimeLimit = 3600.0

    _secret: Secret = PrivateAttr(Secret())

    def keep_secret(self, secret: Secret) -> None:
        self._secret = secret

    def token(self) -> SecretStr | None:
        """What whoever asks has to know, if anything; a `UserError` says what is wrong with `token_file`."""
        return self._secret.get()

    @property
    def address(self) -> tuple[str, int] | None:
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


class Rule(Table):
    name: values.Name
    match: str
    kind: Kind = Kind.INFERENCE
    model_id: values.Uuid | None = None
    workflow_id: values.Uuid | None = None
    nested: StrictBool = False
    prompt_from: values.Suffix | None = None
    parameters_from: values.Suffix | None = None
    again_on_sidecar: StrictBool = False
    optional: tuple[str, ...] = ()
    wait: values.Duration | None = None
    time_limit: values.TimeLimit = 3600.0
    max_result_size: values.Size = 4 * GIB
    outputs: values.Inside | None = None
    chain: StrictBool = False
    chain_depth: values.Depth = 3
    with_: dict[str, str] = Field(default_factory=dict, alias="with")
    parameters: dict[str, Any] = Field(default_factory=dict)
    budget: Budget = Field(default_factory=Budget)

    @property
    def roles(self) -> tuple[str, ...]:
        """What a generation is made of besides the file that matched: companions first, then what is beside it."""
        read = {roles.PROMPT: self.prompt_from, roles.PARAMETERS: self.parameters_from}
        return (*self.with_, *(role for role, suffix in read.items() if suffix is not None))

    @property
    def target_id(self) -> str:
        """The model or the workflow that this rule runs."""
        target = self.model_id if self.kind is Kind.INFERENCE else self.workflow_id
        assert target is not None, "checked when it was loaded"
        return target


class Action(Table):
    """Something to do without Layer: a program to run, or a webhook to call."""

    command: values.Command | None = None
    url: values.WebhookUrl | None = None
    secret_file: values.AbsolutePath | None = None
    timeout: values.TimeLimit = 60.0

    _secret: Secret = PrivateAttr(Secret())

    def keep_secret(self, secret: Secret) -> None:
        self._secret = secret

    def secret(self) -> SecretStr | None:
        """What calls are signed with, if they are; a `UserError` says what is wrong with `secret_file`."""
        return self._secret.get()


class Folder(Table):
    name: values.Name
    path: values.AbsolutePath
    recursive: StrictBool = True
    include: Annotated[tuple[values.Glob, ...], AfterValidator(values.some)] = ("*",)
    exclude: tuple[values.Glob, ...] = ()
    settle: values.Duration = 2.0
    incomplete_after: values.Duration = 600.0
    watch: Watch = Watch.AUTO
    rescan: values.Interval = 300.0
    existing: StrictBool = True
    after_upload: AfterUpload = AfterUpload.KEEP
    move_to: values.Inside = "uploaded"
    receipt: StrictBool = False
    on_uploaded: Action | None = None
    on_complete: Action | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The directories below the folder that layerwatch itself puts files in: they are not looked into."""
        moved = (self.move_to,) if self.after_upload is AfterUpload.MOVE else ()
        return (*moved, *(rule.outputs for rule in self.rules if rule.outputs))

    @cached_property
    def sidecars(self) -> frozenset[str]:
        """The endings, in lower case, of what its rules read beside files."""
        read = (suffix for rule in self.rules for suffix in (rule.prompt_from, rule.parameters_from))
        return frozenset(suffix.lower() for suffix in read if suffix is not None)

    @cached_property
    def root(self) -> str:
        """`path` with every symbolic link resolved, as of the first time it is asked for."""
        return os.path.realpath(self.path)


class Settings(BaseSettings):
    """Everything. Made by `load`; a value from the environment has already taken the place of the file's."""

    model_config = SettingsConfigDict(
        env_prefix="LAYERWATCH_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    api: Api = Field(default_factory=Api)
    ledger: Ledger = Field(default_factory=Ledger)
    upload: Upload = Field(default_factory=Upload)
    budget: Budget = Field(default_factory=Budget)
    http: Http = Field(default_factory=Http)
    folders: tuple[Folder, ...] = ()

    _path: str = PrivateAttr("")
    _warnings: tuple[str, ...] = PrivateAttr(())
    _token_problems: tuple[Problem, ...] = PrivateAttr(())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names the parameters
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind our back: `loading` merges file and environment, to know who said what."""
        return (init_settings,)

    def loaded(self, path: str, warnings: tuple[str, ...], token_problems: tuple[Problem, ...]) -> Self:
        """Note what is known of the settings but cannot be set by anyone."""
        self._path, self._warnings, self._token_problems = path, warnings, token_problems
        return self

    @property
    def path(self) -> str:
        """The configuration file, absolute."""
        return self._path

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works but ought to be put right."""
        return self._warnings

    def token(self) -> SecretStr:
        """The API token from wherever it was found; a `UserError` says what is wrong with it or how to give one."""
        if self.api.token is None:
            raise UserError(*(self._token_problems or (NO_TOKEN,)))
        return self.api.token

    def workspace(self) -> str:
        """The workspace's UUID; a `UserError` says how to give one."""
        if self.api.workspace_id is None:
            raise UserError(no_workspace(f"{self.path}: api.workspace_id"))
        return self.api.workspace_id
