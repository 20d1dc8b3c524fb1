"""Instances of documents connectors: opened for a push, tried out when they are made, checked when they are named."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.connectors.model import Connector
from app.connectors.spec import InstanceSettings
from app.db import connectors, instances
from app.db.pool import Connection
from app.domain.criteria import DownloadCriteria
from app.domain.pushes import PathError, filled
from app.errors import HaulageError, InvalidInputError, NotFoundError, StorageError, TransientError
from app.services.context import Context
from app.services.elements import connector_of, pinned_connector
from app.storage.destinations import Destination, Given, open_destination
from app.storage.keys import checked_key
from app.storage.time_limits import TimeLimit

_LONGEST_ID = 2**31 - 1


_TRIALS = 2
"""So many may an organisation have under way in one process: each holds a thread of the API for up to TRY_S."""

_trials: Counter[int] = Counter()
_trials_lock = threading.Lock()


class DestinationGoneError(HaulageError):
    """The instance was deleted or disabled, or is none that takes outputs: trying again changes nothing."""


TRY_S = 20.0
"""So long may a place take in all for being tried out: somebody waits for the answer."""


def open_place(
    ctx: Context, organisation_id: int, connector: Connector, settings: InstanceSettings, limit: TimeLimit
) -> Destination:
    """The place that these settings name; `limit` holds for all calls to it. Raises InvalidInputError,
    AddressRefusedError.

    Below the operator's folder each organisation has its own: no tenant writes over another's files.
    """
    root = Path(ctx.settings.push_root) / str(organisation_id) if ctx.settings.push_root else None
    given = Given(settings.config, settings.secrets, limit.over(ctx.addresses), root)
    return open_destination(connector.destination, given)


def open_instance(
    ctx: Context, conn: Connection, organisation_id: int, instance_id: int, limit: TimeLimit
) -> Destination:
    """The place of an instance, with its settings as they are now.

    Raises DestinationGoneError, ConfigError where its secrets cannot be decrypted, InvalidInputError,
    AddressRefusedError, DatabaseUnavailableError.
    """
    try:
        instance = instances.get(conn, organisation_id, instance_id)
    except NotFoundError:
        raise DestinationGoneError(f"The instance {instance_id} of docsHubDetails was deleted.") from None
    if instance.disabled_at is not None:
        raise DestinationGoneError(f"The instance {instance_id} of docsHubDetails is disabled.")
    revision = connectors.get_revision(conn, instance.revision_id)
    connector = connector_of(revision.id, revision.digest, revision.document)
    if not connector.destination:
        raise DestinationGoneError(f"The instance {instance_id} of docsHubDetails takes no documents.")
    secrets = ctx.vault.open(instance.organisation_id, instance.id, instance.secrets)
    return open_place(ctx, organisation_id, connector, InstanceSettings(instance.configuration, secrets), limit)


def try_out(ctx: Context, organisation_id: int, connector: Connector, settings: InstanceSettings) -> None:
    """Write, read back and delete a small object. Raises InvalidInputError that says what is wrong.

    A place that does not answer now is refused as well: nobody would learn of a wrong name before the first push.
    TransientError where the organisation has too many trials under way.
    """
    with _turn(organisation_id), TimeLimit(TRY_S) as limit:
        try:
            with closing(open_place(ctx, organisation_id, connector, settings, limit)) as place:
                place.check()
        except InvalidInputError:
            raise
        except HaulageError as error:
            slow = f"not done with a small object after {TRY_S:g} s; at last " if limit.is_over else ""
            raise InvalidInputError(
                f"configuration is not accepted: {slow}{error.message}", field="/configuration"
            ) from error


@contextmanager
def _turn(organisation_id: int) -> Iterator[None]:
    with _trials_lock:
        if _trials[organisation_id] >= _TRIALS:
            raise TransientError(f"{_TRIALS} places of yours are being tried out now. Try again when that is over.")
        _trials[organisation_id] += 1
    try:
        yield
    finally:
        with _trials_lock:
            _trials[organisation_id] -= 1
            if not _trials[organisation_id]:
                del _trials[organisation_id]


def check_target(ctx: Context, conn: Connection, organisation_id: int, criteria: DownloadCriteria) -> None:
    """Refuse a `docsHubDetails` that could never work. Raises InvalidInputError."""
    if criteria.docs_hub is None:
        return
    named = criteria.docs_hub.instance_id
    try:
        instance = instances.get(conn, organisation_id, named)
    except NotFoundError:
        raise _refused(named, "there is no such instance") from None
    if instance.disabled_at is not None:
        raise _refused(named, "the instance is disabled")
    revision = connectors.get_revision(conn, instance.revision_id)
    if not pinned_connector(conn, revision.id, revision.digest).destination:
        raise _refused(named, f"element {instance.connector_key} takes no documents")
    path, prefix = criteria.docs_hub.path, instance.configuration.get("prefix", "").removeprefix("/")
    try:
        name = filled(path, job_id=_LONGEST_ID, object_name=criteria.object_name, moment=ctx.now())
        checked_key(prefix + checked_key(name))
    except (PathError, StorageError) as error:
        raise InvalidInputError(
            f"docsHubDetails.path {path[:200]!r} is not accepted: {error}.", field="/docsHubDetails/path"
        ) from None


def _refused(instance_id: int, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"docsHubDetails.instanceId {instance_id} is not accepted: {reason}; an instance of a documents element such as"
        " s3, sftp or file is.",
        field="/docsHubDetails/instanceId",
    )
