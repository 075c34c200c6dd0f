"""One TOML file becomes one frozen ``Config``; the only module that reads the environment."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import ConfigError, check_range
from .hearing.listening import EVERYBODY, Listening
from .options import DEFAULT_INSTRUCTIONS, ContextOptions, VisionOptions
from .redaction import without_secrets
from .uploads import UploadLimits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Section = TypeVar("Section")

CONFIG_VARIABLE = "VISION_AGENT_CONFIG"
"""Environment variable that names the config file if no argument does."""
SERVER_VARIABLES = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
TOKEN_VARIABLE = "LIVEKIT_TOKEN"
"""Environment variable with a ready token for ``vision-agent publish``."""
SOURCE_VARIABLE = "VISION_AGENT_SOURCE"
"""Environment variable that names the source of ``vision-agent publish`` if no argument does."""
ENVIRONMENT: Mapping[str, str] = os.environ
"""The environment of this process; other modules get it from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """Who answers."""

    model: str = "offline"
    """``offline`` or ``google/<model>``."""
    instructions: str = DEFAULT_INSTRUCTIONS
    """What the model reads at the start."""
    listen_to: Listening = EVERYBODY
    """Whose typed questions are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How ``vision-agent start`` works for a LiveKit server."""

    agent_name: str = ""
    """Only rooms that ask for this name get an agent; empty: every new room gets one."""
    load_threshold: float = 0.7
    """Share of the CPU above which the worker takes no new room; with 1, or ``dev``, it takes every room."""
    drain_s: float = 3600.0
    """How long open rooms may go on after the first stop signal, in seconds; with 0, or ``dev``, they end."""
    health_host: str = "127.0.0.1"
    """Address of the health check; empty: all interfaces."""
    health_port: int = 8081
    """Port of the health check; with 0, or ``dev``, any free one."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the way out.
        """
        check_range("load_threshold", self.load_threshold, 0, 1)
        check_range("drain_s", self.drain_s, 0, 86400, "seconds")
        check_range("health_port", self.health_port, 0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """How ``vision-agent publish`` brings a source into a room."""

    room: str = ""
    """The room, if neither a token nor ``--room`` names one."""
    identity: str = ""
    """Identity of the camera; empty: ``camera-``, host name, six letters of a hash of the machine ID."""
    name: str = "camera"
    """The track's name."""
    report_s: float = 60.0
    """How often a line on stderr reports the state, in seconds."""
    metrics_host: str = "127.0.0.1"
    """Address of metrics and health."""
    metrics_port: int = -1
    """Port of metrics and health; -1: none; 0: any free one."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: Names the setting, the value and the way out.
        """
        check_range("report_s", self.report_s, 1, 86400, "seconds")
        check_range("metrics_port", self.metrics_port, -1, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """systemd's settings for this process, if systemd started it."""

    socket: str = ""
    """The socket for reports to systemd; empty: no reports."""
    watchdog_s: float | None = None
    """systemd restarts the service if it gets no report for this time, in seconds; None: no watchdog."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = ENVIRONMENT) -> Supervisor:
        """Read ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_number = microseconds.isdecimal() and int(microseconds) > 0
        watchdog_s = int(microseconds) / 1e6 if is_number else None
        return cls(socket=environment.get("NOTIFY_SOCKET", ""), watchdog_s=watchdog_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set, section by section, with the defaults of ``configs/default.toml``."""

    agent: AgentOptions = field(default_factory=AgentOptions)
    """Who answers."""
    vision: VisionOptions = field(default_factory=VisionOptions)
    """How pictures are chosen and made."""
    context: ContextOptions = field(default_factory=ContextOptions)
    """Pictures in the chat context from the start."""
    uploads: UploadLimits = field(default_factory=UploadLimits)
    """Limits on the pictures that participants send."""
    worker: WorkerOptions = field(default_factory=WorkerOptions)
    """How ``vision-agent start`` works for a LiveKit server."""
    publish: PublishOptions = field(default_factory=PublishOptions)
    """How ``vision-agent publish`` brings a source into a room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeys:
    """The address of the LiveKit server, and its API key."""

    url: str = field(repr=False)
    """``ws://`` or ``wss://`` address."""
    api_key: str = field(repr=False)
    """The key's name."""
    api_secret: str = field(repr=False)
    """The key's secret."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = ENVIRONMENT) -> ServerKeys:
        """Read ``LIVEKIT_URL``, ``LIVEKIT_API_KEY`` and ``LIVEKIT_API_SECRET``.

        Raises:
            ConfigError: A variable is not set, or the URL can't be that of a LiveKit server.
        """
        missing = [name for name in SERVER_VARIABLES if not environment.get(name)]
        if missing:
            raise ConfigError(f"{', '.join(missing)} not set: export the URL, key and secret of your server")
        url, api_key, api_secret = (environment[name] for name in SERVER_VARIABLES)
        check_url(url)
        return cls(url=url, api_key=api_key, api_secret=api_secret)


def check_url(url: str, name: str = "LIVEKIT_URL") -> None:
    """Check that an address can be that of a LiveKit server.

    Raises:
        ConfigError: It can't.
    """
    if not url.startswith(("ws://", "wss://", "http://", "https://")):
        shown = without_secrets(f"ws://{url}").removeprefix("ws://")  # it is meant as an address
        raise ConfigError(f"{name} = {shown!r}: must begin with ws:// or wss://")
    try:
        is_address = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(
            f"{name} = {without_secrets(url)!r}: not an address; write wss://host or ws://host:7880"
        )


def load_config(path: Path | None = None) -> Config:
    """Read a config file, or the one that ``VISION_AGENT_CONFIG`` names, or use the defaults.

    Raises:
        ConfigError: The file can't be read, or has an unknown key or a value that can't be used.
    """
    if path is None:
        named = ENVIRONMENT.get(CONFIG_VARIABLE)
        if not named:
            return Config()
        path = Path(named)
    try:
        return parse_config(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: {error}") from error


def parse_config(text: str) -> Config:
    """Make a ``Config`` from TOML text.

    Raises:
        ConfigError: It is not TOML, or has an unknown key or a value that can't be used.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from error
    _check_names(tables, [each.name for each in fields(Config)], "section", "")
    sections = {}
    for each in fields(Config):
        table = tables.get(each.name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{each.name} = {table!r}: must be a section, write [{each.name}]")
        assert each.default_factory is not MISSING
        sections[each.name] = _section(type(each.default_factory()), table, each.name)
    return Config(**sections)


def _section(kind: type[Section], table: dict[str, Any], section: str) -> Section:
    known = {each.name: each.default for each in fields(kind)}  # type: ignore[arg-type]  # a dataclass, by its use above
    _check_names(table, list(known), "key", f"{section}.")
    values = {name: _typed(f"{section}.{name}", value, known[name]) for name, value in table.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{section}.{error}") from error


def _check_names(table: Mapping[str, Any], known: list[str], what: str, prefix: str) -> None:
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            way_out = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"unknown {what} {prefix}{name}: {way_out}")


def _typed(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, Listening):
        return Listening.parse(value, name=name)
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise ConfigError(f"{name} = {value!r}: must be a list of strings")
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
        raise ConfigError(f"{name} = {value!r}: must be {words[type(default)]}, in the unit of its name")
    return value
