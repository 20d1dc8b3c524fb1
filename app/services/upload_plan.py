"""What a leg of an upload needs to know: the job, its file, and a client with fresh credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.connectors.writing import WriteClient
from app.db import plans, uploads
from app.db.jobs import Job
from app.db.plans import Footing
from app.db.pool import Connection
from app.db.slices import Claim, Position
from app.db.uploads import Upload
from app.domain.rows import BadRow, InputForm, InputPosition, Row, look, read_rows
from app.domain.uploads import UploadOptions
from app.errors import ConfigError
from app.services.context import Context
from app.services.elements import pinned_connector
from app.services.plan import open_instance
from app.services.vendor_budget import VendorBudget
from app.storage.inputs import plain_chunks

_HEAD_BYTES = 1024 * 1024


@dataclass
class UploadPlan:
    """Loaded at the start of each leg."""

    job: Job
    options: UploadOptions
    upload: Upload
    client: WriteClient
    budget: VendorBudget
    """What the client sends through."""
    position: InputPosition
    """Behind the last row that is in the table."""
    most_calls: int
    """At the same time."""
    is_trial: bool = False
    """The last leg ended because the vendor was in trouble."""

    def key_prefix(self, keyed_by: int | None = None) -> str:
        """What makes idempotency keys of this job differ from those of others; `keyed_by`: a row keeps that job's."""
        return f"haulage-{keyed_by or self.job.id}"

    @property
    def most_rows(self) -> int:
        """Rows a call."""
        return min(self.client.most_rows, self.options.batch_size or self.client.most_rows)

    def at(self, position: InputPosition, *, is_done: bool = False) -> Position:
        """The slice's position for that one of the file. `is_done`: every row has its verdict."""
        return Position(position.as_json(), 1, 0, is_done)

    def reload_credentials(self, ctx: Context, conn: Connection) -> None:
        """Read the instance once more. Raises InstanceGoneError, ConfigError, DatabaseUnavailableError."""
        self.client = _client(ctx, conn, plans.find(conn, self.job.id, self.job.run_number), self.options, self.budget)


def load_upload(ctx: Context, conn: Connection, claim: Claim) -> UploadPlan:
    """Raises InstanceGoneError, ConfigError, DatabaseUnavailableError."""
    found = plans.find(conn, claim.job_id, claim.run_number)
    options = UploadOptions.from_echo(found.job.criteria)
    budget = VendorBudget(ctx, pinned_connector(conn, found.job.connector_revision_id, found.digest), found)
    client = _client(ctx, conn, found, options, budget)
    upload = uploads.find(conn, claim.job_id)
    if upload is None:
        raise ConfigError("The file of this job is not there any more.")
    cursor = claim.position.cursor
    position = InputPosition() if cursor is None else InputPosition.from_json(cursor)
    most_calls = 1 if options.is_serial else ctx.settings.upload_calls
    return UploadPlan(found.job, options, upload, client, budget, position, most_calls, claim.try_count > 0)


def _client(
    ctx: Context, conn: Connection, found: Footing, options: UploadOptions, budget: VendorBudget
) -> WriteClient:
    connector, secrets = open_instance(ctx, conn, found)
    return WriteClient(
        connector,
        found.job.object_name,
        options.action,
        options.identifier,
        found.configuration,
        secrets,
        budget,
        path=options.path,
    )


def form_of(ctx: Context, plan: UploadPlan, on_piece: Callable[[], None]) -> InputForm:
    """How the file is written, by what a leg before found or by its head. `on_piece`: asked with each piece of that.

    Raises UnreadableInputError and the storage errors.
    """
    if plan.upload.form is not None:
        return InputForm.from_json(plan.upload.form)
    head = b""
    chunks = plain_chunks(ctx.store, plan.upload.object_key, limit_bytes=ctx.settings.upload_max_plain_bytes)
    for chunk in chunks:
        on_piece()
        head += chunk
        if len(head) >= _HEAD_BYTES:
            return look(head, plan.options, is_whole=False)
    return look(head, plan.options, is_whole=True)


def rows_of(
    ctx: Context, plan: UploadPlan, form: InputForm, on_piece: Callable[[bool], None]
) -> Iterator[Row | BadRow]:
    """The rows from the plan's position on. Raises as `form_of`, while it is read, and what `on_piece` raises.

    `on_piece`: asked with each piece of the file, since many may go by before a row comes. It is told whether that is
    at the position; of a packed file what lies before it is inflated, too.
    """
    at = form.body_at if plan.position == InputPosition() else plan.position
    chunks = plain_chunks(
        ctx.store, plan.upload.object_key, limit_bytes=ctx.settings.upload_max_plain_bytes, offset=at.offset
    )
    return read_rows(_watched(chunks, on_piece), form, plan.client.field_types, at)


def _watched(chunks: Iterator[bytes], on_piece: Callable[[bool], None]) -> Iterator[bytes]:
    for chunk in chunks:
        on_piece(bool(chunk))
        if chunk:
            yield chunk
