-- Identity ---------------------------------------------------------------------------------------------------------
create sequence organisation_numbers as integer;
create sequence user_numbers as integer;
create sequence connector_numbers as integer;
create sequence instance_numbers as integer;
create sequence job_numbers as integer;

create table organisations (
  id           bigint primary key,
  name         text not null unique,
  created_at   timestamptz not null default now(),
  disabled_at  timestamptz
);

create table users (
  id               bigint primary key,
  organisation_id  bigint not null references organisations,
  name             text not null,
  created_at       timestamptz not null default now(),
  disabled_at      timestamptz,
  unique (organisation_id, name)
);

-- Secrets of organisations and users. Only the SHA-256 is kept: 160 random bits need no slow hash.
create table tokens (
  id               bigint generated always as identity primary key,
  organisation_id  bigint not null references organisations,
  user_id          bigint references users,          -- null: a secret of the organisation
  hash             bytea not null unique,
  hint             text not null,                    -- first characters, to tell tokens apart in a list
  created_at       timestamptz not null default now(),
  last_used_at     timestamptz,
  expires_at       timestamptz,
  revoked_at       timestamptz
);
create index tokens_of_organisation on tokens (organisation_id);

-- Connectors and instances -----------------------------------------------------------------------------------------
create table connectors (
  id               bigint primary key,
  organisation_id  bigint references organisations,  -- null: the catalogue, for everybody
  key              text not null,
  created_at       timestamptz not null default now(),
  deleted_at       timestamptz
);
create unique index connectors_catalogue_key on connectors (key) where organisation_id is null and deleted_at is null;
create unique index connectors_private_key on connectors (organisation_id, key) where deleted_at is null;

-- A job pins the revision that it began with; revisions are never changed.
create table connector_revisions (
  id            bigint generated always as identity primary key,
  connector_id  bigint not null references connectors,
  revision      integer not null,
  document      jsonb not null,
  digest        text not null,
  created_at    timestamptz not null default now(),
  unique (connector_id, revision)
);

create table instances (
  id               bigint primary key,
  organisation_id  bigint not null references organisations,
  connector_id     bigint not null references connectors,
  name             text not null,
  tags             text[] not null default '{}',
  configuration    jsonb not null default '{}',      -- what is not secret
  secrets          bytea not null,                   -- encrypted JSON object, bound to organisation and instance
  token_hash       bytea not null unique,
  token_hint       text not null,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  disabled_at      timestamptz,
  deleted_at       timestamptz
);
create index instances_of_organisation on instances (organisation_id, id) where deleted_at is null;

-- Jobs -------------------------------------------------------------------------------------------------------------
create table jobs (
  id                     bigint primary key,
  number                 bigint generated always as identity unique,  -- order of submission; never shown
  organisation_id        bigint not null references organisations,
  user_id                bigint references users,
  instance_id            bigint not null references instances,
  connector_id           bigint not null references connectors,
  connector_revision_id  bigint not null references connector_revisions,
  direction              text not null default 'DOWNLOAD',
  object_name            text not null,
  file_format            text not null,
  criteria               jsonb not null,
  notification_url       text,
  status                 text not null default 'CREATED',
  status_message         text,
  stop_reason            text,
  error                  text,
  has_more               boolean not null default false,
  run_number             integer not null default 1,
  revision               integer not null default 0,    -- the last run that ended; its segments are the result
  record_count           bigint not null default 0,     -- over all runs: the result holds these
  page_count             bigint not null default 0,
  call_count             bigint not null default 0,     -- vendor calls made, retries included
  calls_written_off      bigint not null default 0,     -- reserved calls that a crash left unaccounted for
  plain_bytes            bigint not null default 0,
  vendor_total           bigint,
  created_at             timestamptz not null default now(),
  started_at             timestamptz,
  finished_at            timestamptz,
  cancel_requested_at    timestamptz,
  files_expire_at        timestamptz,
  files_deleted_at       timestamptz,
  sweep_orphans_at       timestamptz
);
create index jobs_of_instance on jobs (instance_id, number desc);
create index jobs_to_expire on jobs (files_expire_at) where files_expire_at is not null;
create index jobs_to_forget on jobs (finished_at) where files_deleted_at is not null;
create index jobs_with_orphans on jobs (sweep_orphans_at) where sweep_orphans_at is not null;
create index jobs_to_cancel on jobs (cancel_requested_at) where status = 'CANCELLATION_PENDING';

create table runs (
  job_id         bigint not null references jobs on delete cascade,
  number         integer not null,
  api_limit      bigint,                       -- calls that this run may make; null: no ceiling
  record_limit   bigint,                       -- records that this run may deliver; null: no ceiling
  calls_reserved bigint not null default 0,    -- never above api_limit
  record_count   bigint not null default 0,
  status         text,
  stop_reason    text,
  started_at     timestamptz not null default now(),
  finished_at    timestamptz,
  primary key (job_id, number),
  constraint api_limit_is_a_ceiling check (api_limit is null or calls_reserved <= api_limit)
);

-- Where the work stands. Claim, lease and position live here.
create table slices (
  id                bigint generated always as identity primary key,
  job_id            bigint not null references jobs on delete cascade,
  run_number        integer not null,
  number            integer not null default 1,
  organisation_id   bigint not null,
  instance_id       bigint not null,
  cursor            jsonb,                      -- asks for the page at which the position stands; null: the first
  page_size         integer not null,           -- may shrink
  skip              bigint not null default 0,  -- records of that page that are delivered already
  exhausted         boolean not null default false,
  sequence          integer not null default 0, -- segments committed
  checkpoint        bigint not null default 0,  -- numbers a holder's statements: tells whether a doubtful COMMIT stands
  claim             bigint not null default 0,  -- bumped by every claim: the fence
  worker_id         bigint,
  lease_expires_at  timestamptz,                -- null: held by nobody
  next_run_at       timestamptz,                -- null: nothing to do any more
  nudged_at         timestamptz,                -- a hint only
  try_count         integer not null default 0, -- failed tries at this position
  crash_count       integer not null default 0, -- claims that ended without progress or hand-back
  calls_held        bigint not null default 0,  -- reserved by the holder and not yet reported as made
  wait_reason       text,
  last_error        text,
  unique (job_id, run_number, number)
);
create index slices_due on slices (next_run_at) where next_run_at is not null;
create index slices_held on slices (lease_expires_at) where lease_expires_at is not null;
create index slices_of_worker on slices (worker_id) where worker_id is not null;

create table segments (
  job_id        bigint not null references jobs on delete cascade,
  run_number    integer not null,
  slice_number  integer not null,
  sequence      integer not null,
  claim         bigint not null,
  object_key    text not null unique,
  encoding      text not null,
  record_count  bigint not null,
  plain_bytes   bigint not null,
  stored_bytes  bigint not null,
  crc32         bigint not null,
  flush_points  jsonb not null default '[]',
  columns       text[] not null default '{}',
  created_at    timestamptz not null default now(),
  primary key (job_id, run_number, slice_number, sequence)
);

-- Who works. A row a process; its advisory lock is held as long as its connection lives.
create table workers (
  id          bigint generated always as identity primary key,
  name        text not null,
  slots       integer not null,
  version     text not null,
  started_at  timestamptz not null default now(),
  seen_at     timestamptz not null default now(),
  stopped_at  timestamptz
);
create index workers_alive on workers (seen_at) where stopped_at is null;

-- Callbacks: the outbox --------------------------------------------------------------------------------------------
create table deliveries (
  id                bigint generated always as identity primary key,
  job_id            bigint not null references jobs on delete cascade,
  organisation_id   bigint not null,
  instance_id       bigint not null,
  run_number        integer not null,
  event_id          text not null unique,       -- the receiver's idempotency key: one per job and run
  url               text not null,
  body              bytea not null,             -- exactly what is sent and signed
  status            text not null default 'PENDING',
  attempt_count     integer not null default 0,
  next_attempt_at   timestamptz default now(),  -- null: nothing to do any more
  nudged_at         timestamptz,
  claim             bigint not null default 0,
  worker_id         bigint,
  lease_expires_at  timestamptz,
  created_at        timestamptz not null default now(),
  finished_at       timestamptz,
  unique (job_id, run_number)
);
create index deliveries_due on deliveries (next_attempt_at) where next_attempt_at is not null;
create index deliveries_failed on deliveries (finished_at) where status = 'FAILED';

create table delivery_attempts (
  delivery_id   bigint not null references deliveries on delete cascade,
  number        integer not null,
  started_at    timestamptz not null,
  duration_ms   integer not null,
  http_status   integer,
  error         text,
  primary key (delivery_id, number)
);

-- Idempotency-Key of submissions, 24 h a organisation --------------------------------------------------------------
create table idempotency_keys (
  organisation_id  bigint not null references organisations,
  key              text not null,
  request_digest   text not null,
  response         jsonb,                       -- null: in progress
  created_at       timestamptz not null default now(),
  primary key (organisation_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
