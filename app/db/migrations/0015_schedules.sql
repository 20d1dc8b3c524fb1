create sequence schedule_numbers as integer;

-- A download that is submitted again and again. The row is locked while a run of it is made.
create table schedules (
  id                bigint primary key,
  number            bigint generated always as identity unique,  -- order of creation; never shown
  organisation_id   bigint not null references organisations,
  instance_id       bigint not null references instances,
  user_id           bigint references users,
  name              text not null,
  criteria          jsonb not null,         -- as jobs have them
  cron              text not null,
  time_zone         text not null,
  catch_up          text not null,
  catch_up_limit    integer not null,
  is_incremental    boolean not null,
  may_overlap       boolean not null,
  target            jsonb,                  -- of a workflow: the upload that each download feeds
  chain_number      integer not null default 1,  -- runs go on from earlier ones of the same chain only
  run_count         integer not null default 0,
  next_due_at       timestamptz,            -- null: never again
  current_job_id    bigint,                 -- of the newest run; no reference, since jobs are forgotten
  paused_at         timestamptz,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),
  deleted_at        timestamptz
);
create index schedules_due on schedules (next_due_at) where paused_at is null and deleted_at is null;
create index schedules_of_instance on schedules (instance_id, number desc) where deleted_at is null;

-- What came of a due time, or of a run that was asked for.
create table schedule_runs (
  schedule_id      bigint not null references schedules on delete cascade,
  number           integer not null,        -- of the schedule's runs, from 1
  chain_number     integer not null,
  kind             text not null,           -- DUE, NOW, RANGE
  due_at           timestamptz not null,
  first_due_at     timestamptz not null,    -- of several due times in one row the first; due_at is the last
  due_count        integer not null default 1,
  state            text not null,           -- SUBMITTED, SKIPPED, FAILED
  job_id           bigint,                  -- no reference, since jobs are forgotten
  note             text,
  created_at       timestamptz not null default now(),
  primary key (schedule_id, number)
);
create unique index schedule_runs_once on schedule_runs (schedule_id, due_at) where kind = 'DUE';
create index schedule_runs_of_job on schedule_runs (job_id) where job_id is not null;
create index schedule_runs_by_age on schedule_runs (created_at);

-- The second half of a workflow: the upload that a download is to feed once it has COMPLETED.
create table feeds (
  download_job_id  bigint primary key references jobs on delete cascade,
  organisation_id  bigint not null references organisations,
  user_id          bigint references users,
  instance_id      bigint not null references instances,  -- that is uploaded to
  options          jsonb not null,                        -- of the upload
  upload_job_id    bigint,                                -- the job that was made; no reference, since jobs are forgotten
  is_over          boolean not null default false,
  note             text,
  claim            bigint not null default 0,
  next_try_at      timestamptz not null default now(),
  created_at       timestamptz not null default now()
);
create index feeds_open on feeds (next_try_at) where not is_over;
