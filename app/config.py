"""Every setting, read once from the environment into one frozen value.

Each variable may also be given as NAME_FILE, the path of a file that holds the value (for mounted secrets).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from marshmallow.fields import Float, Integer, String
from marshmallow.validate import OneOf, Range, Regexp

from app.domain.segments import Encoding
from app.errors import ConfigError

MIB = 1024 * 1024


_CENTURY_S = 100 * 365.25 * 86400
"""PostgreSQL knows no time that is much further away, and a job that would be kept until then could not end."""


def _setting(env: str, doc: str, **extra: Any) -> Any:
    """A field that knows its variable and what it means, so that the README's table can be checked against it."""
    default = extra.pop("default", None)
    metadata = {"env": env, "doc": doc, "secret": extra.pop("secret", False)}
    metadata.update(extra)
    return field(default=default, metadata=metadata, repr=not metadata["secret"])


@dataclass(frozen=True)
class Settings:
    """Durations in seconds, sizes in bytes."""

    database_url: str = _setting(
        "DATABASE_URL",
        "PostgreSQL 14 or newer, libpq URL",
        default="",
        secret=True,
        schemes=("postgresql://", "postgres://"),
    )
    broker_url: str = _setting("BROKER_URL", "Redis or Valkey URL of the Celery broker", default="", secret=True)
    storage_url: str = _setting(
        "STORAGE_URL",
        "Where uploads, segments and results live: file:///dir, or s3://, gs:// or azure:// with bucket/prefix?options",
        default="",
    )
    encryption_keys: tuple[str, ...] = _setting(
        "HAULAGE_ENCRYPTION_KEYS",
        "Fernet keys, comma separated; the first encrypts, all decrypt",
        default=(),
        secret=True,
    )
    id_key: str = _setting(
        "HAULAGE_ID_KEY", "Secret that scatters ids so that they do not tell volume", default="", secret=True
    )
    allow_networks: str = _setting(
        "HAULAGE_ALLOW_NETWORKS",
        "Private networks that user-given URLs may reach: `[http://]CIDR[:PORT[-PORT]]`, comma separated",
        default="",
    )
    push_root: str = _setting(
        "HAULAGE_PUSH_ROOT", "Folder below which instances of `file` may write; empty: there are none", default=""
    )
    lease_s: float = _setting("HAULAGE_LEASE_S", "How long a claim lives without a sign of life", default=30.0, low=1)
    leg_s: float = _setting("HAULAGE_LEG_S", "How long one task works on a slice", default=10.0, low=0.1)
    checkpoint_s: float = _setting(
        "HAULAGE_CHECKPOINT_S",
        "Time between checkpoints of a running job; 0: every page counts before the next is asked for",
        default=0.5,
        low=0,
    )
    calls_ahead: int = _setting(
        "HAULAGE_CALLS_AHEAD",
        "Vendor calls that a job has under way at once where pages are numbered and their total is known; 1: no more "
        "than the next page",
        default=4,
        low=1,
    )
    slices: int = _setting(
        "HAULAGE_SLICES",
        "Windows of time that a job with from and to is cut into, each fetched on its own, where the connector allows "
        "it; 1: none",
        default=8,
        low=1,
    )
    retry_tries: int = _setting(
        "HAULAGE_RETRY_TRIES", "Failed tries at one position before the job aborts", default=15, low=1
    )
    retry_base_s: float = _setting("HAULAGE_RETRY_BASE_S", "Base of the full-jitter backoff", default=2.0, low=0)
    retry_cap_s: float = _setting("HAULAGE_RETRY_CAP_S", "Longest backoff", default=3600.0, low=0)
    crash_tries: int = _setting(
        "HAULAGE_CRASH_TRIES", "Crashed claims at one position before the job aborts", default=5, low=1
    )
    retention_s: float = _setting(
        "HAULAGE_RETENTION_S",
        "How long files and segments are kept after a job ended that asks for no other time",
        default=259200.0,
        low=1,
        high=_CENTURY_S,
    )
    retention_max_s: float = _setting(
        "HAULAGE_RETENTION_MAX_S",
        "Longest retention that a job may ask for (`retentionHours`)",
        default=2592000.0,
        low=1,
        high=_CENTURY_S,
    )
    row_retention_s: float = _setting(
        "HAULAGE_ROW_RETENTION_S",
        "How long the rows of an ended job are kept",
        default=7776000.0,
        low=1,
        high=_CENTURY_S,
    )
    sweep_s: float = _setting("HAULAGE_SWEEP_S", "Longest sleep of the sweeper", default=5.0, low=0.05)
    stall_factor: float = _setting(
        "HAULAGE_STALL_FACTOR",
        "A job without progress for so many times its own usual page time (95th percentile) says what it waits for",
        default=10.0,
        low=1,
    )
    stall_least_s: float = _setting(
        "HAULAGE_STALL_LEAST_S", "A job does not stand still before so long without progress", default=30.0, low=0
    )
    cancel_grace_s: float = _setting(
        "HAULAGE_CANCEL_GRACE_S", "How long a cancelled job's holder may take to let go", default=5.0, low=0
    )
    worker_slots: int = _setting("HAULAGE_WORKER_SLOTS", "Legs that one worker process runs at once", default=16, low=1)
    segment_encoding: Encoding = _setting(
        "HAULAGE_SEGMENT_ENCODING", "Stored form of segments", default="deflate", choices=("deflate", "plain")
    )
    page_size: int = _setting("HAULAGE_PAGE_SIZE", "pageSize of a job that names none", default=200, low=1)
    page_max_bytes: int = _setting(
        "HAULAGE_PAGE_MAX_BYTES", "Largest vendor answer that is read into memory", default=64 * MIB, low=1024
    )
    api_limit_state: str = _setting(
        "HAULAGE_API_LIMIT_STATE",
        "State of a job that stopped at its apiLimit",
        default="COMPLETED",
        choices=("COMPLETED", "ABORTED"),
    )
    callback_timeout_s: float = _setting(
        "HAULAGE_CALLBACK_TIMEOUT_S", "Time a callback receiver has to answer", default=20.0, low=0.1
    )
    callback_schedule_s: tuple[float, ...] = _setting(
        "HAULAGE_CALLBACK_SCHEDULE_S",
        "Waits before each delivery attempt (Standard Webhooks), comma separated",
        default=(0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
    )
    callback_host_calls: int = _setting(
        "HAULAGE_CALLBACK_HOST_CALLS",
        "Callbacks of an organisation under way at once at one host that answers; at any other it is one",
        default=8,
        low=1,
    )
    callback_break_after: int = _setting(
        "HAULAGE_CALLBACK_BREAK_AFTER",
        "Failures in a row after which a host is asked by one callback at a time, with growing pauses",
        default=5,
        low=1,
    )
    callback_pause_s: float = _setting(
        "HAULAGE_CALLBACK_PAUSE_S",
        "The first of these pauses; each is twice as long as the one before",
        default=5.0,
        low=0,
    )
    callback_pause_cap_s: float = _setting(
        "HAULAGE_CALLBACK_PAUSE_CAP_S", "The longest of these pauses", default=600.0, low=0
    )
    signing_overlap_s: float = _setting(
        "HAULAGE_SIGNING_OVERLAP_S",
        "How long a signing key of callbacks stays valid beside the one that replaced it",
        default=86400.0,
        low=0,
    )
    push_for_s: float = _setting(
        "HAULAGE_PUSH_FOR_S",
        "How long a finished output is tried to be pushed where `docsHubDetails` says, before the job ends without",
        default=86400.0,
        low=0,
    )
    max_body_bytes: int = _setting("HAULAGE_MAX_BODY_BYTES", "Largest JSON request body", default=1 * MIB, low=1024)
    upload_calls: int = _setting(
        "HAULAGE_UPLOAD_CALLS", "Vendor calls that an upload has under way at once", default=16, low=1
    )
    upload_max_plain_bytes: int = _setting(
        "HAULAGE_UPLOAD_MAX_PLAIN_BYTES", "Largest uploaded file, unpacked", default=65536 * MIB, low=1024
    )
    upload_max_bytes: int = _setting(
        "HAULAGE_UPLOAD_MAX_BYTES",
        "Largest file that an upload may bring, as it is sent",
        default=6 * 1024 * MIB,
        low=1,
    )
    mask_row_values: str = _setting(
        "HAULAGE_MASK_ROW_VALUES",
        "Whether listings of failed rows hide the values of their records; those of secrets are hidden always",
        default="no",
        choices=("no", "yes"),
    )
    azure_connection_string: str = _setting(
        "AZURE_STORAGE_CONNECTION_STRING",
        "Account and key of azure://; without it ?account_url= names the account, and the machine's identity is used",
        default="",
        secret=True,
    )
    proxy_url: str = _setting("HAULAGE_PROXY_URL", "Egress proxy for all outgoing calls", default="", secret=True)
    log_format: str = _setting(
        "HAULAGE_LOG_FORMAT", "How log lines are written", default="json", choices=("json", "console")
    )
    log_level: str = _setting(
        "HAULAGE_LOG_LEVEL", "Least severe log line", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")
    )


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, by default the process environment.

    Raises ConfigError that names the variable, its value and what is accepted.
    """
    source = _with_files(dict(os.environ if environ is None else environ))  # noqa: TID251 - the one place
    values = {spec.name: _read(spec.type, spec.metadata, spec.default, source) for spec in fields(Settings)}
    return Settings(**values)


def require(settings: Settings, *names: str) -> None:
    """Raise ConfigError unless every named setting has a value."""
    missing = [
        spec.metadata["env"] for spec in fields(Settings) if spec.name in names and not getattr(settings, spec.name)
    ]
    if missing:
        raise ConfigError(
            f"Set {', '.join(missing)} (or {missing[0]}_FILE); see the settings table of the README. What `make up` "
            "runs with is in its running.env: set -a; . .haulage/running.env; set +a"
        )


def _with_files(source: dict[str, str]) -> dict[str, str]:
    for name in [spec.metadata["env"] for spec in fields(Settings)]:
        path = source.get(f"{name}_FILE")
        if path and name not in source:
            try:
                source[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigError(f"{name}_FILE={path!r} cannot be read: {error.strerror}.") from error
    return source


def _read(kind: Any, metadata: Mapping[str, Any], default: Any, source: Mapping[str, str]) -> Any:
    name = metadata["env"]
    if not source.get(name):
        return default
    try:
        return _parse(str(kind), metadata, source[name])
    except (ValidationError, ValueError) as error:
        shown = "(hidden)" if metadata["secret"] else repr(source[name])
        raise ConfigError(f"{name}={shown} is not accepted: {_accepted(str(kind), metadata)}.") from error


def _parse(kind: str, metadata: Mapping[str, Any], text: str) -> Any:
    if kind == "tuple[str, ...]":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind == "tuple[float, ...]":
        waits = tuple(float(part) for part in text.split(","))
        if not all(isfinite(each) and each >= 0 for each in waits):
            raise ValueError(text)
        return waits
    rules: list[Any] = [Range(min=metadata.get("low"), max=metadata.get("high"))]
    rules += [OneOf(metadata["choices"])] if "choices" in metadata else []
    rules += [Regexp("|".join(metadata["schemes"]))] if "schemes" in metadata else []
    parsers: dict[str, type[Integer | Float | String]] = {"int": Integer, "float": Float}
    return parsers.get(kind, String)(validate=rules).deserialize(text)


def _accepted(kind: str, metadata: Mapping[str, Any]) -> str:
    if "choices" in metadata:
        return f"one of {', '.join(metadata['choices'])}"
    if "schemes" in metadata:
        return f"a URL that begins with {' or '.join(metadata['schemes'])}"
    least = f", at least {metadata['low']}" if "low" in metadata else ""
    least += f" and at most {metadata['high']:.0f}" if "high" in metadata else ""
    words = {
        "int": "a whole number",
        "float": "a number",
        "tuple[float, ...]": "numbers from 0 on, separated by commas",
    }
    return words.get(kind, "a text") + least
