-- Outputs on their way to a place of the customer's (`docsHubDetails`). One a run that has fetched everything.
create table pushes (
  id                bigint generated always as identity primary key,
  job_id            bigint not null references jobs on delete cascade,
  run_number        integer not null,
  organisation_id   bigint not null,
  instance_id       bigint not null references instances,  -- of the documents connector
  path              text not null,              -- below the instance's prefix, placeholders filled in
  ending            jsonb not null,             -- how the run ends when this has: see app.db.pushes
  state             text not null default 'PENDING',
  attempt_count     integer not null default 0, -- failed attempts
  ended_count       integer not null default 0, -- claims that ended with a word, whatever it was
  claim             bigint not null default 0,  -- the fence
  worker_id         bigint,
  lease_expires_at  timestamptz,
  next_attempt_at   timestamptz default now(),  -- null: nothing to do any more
  nudged_at         timestamptz,                -- a hint only
  give_up_at        timestamptz not null,
  created_at        timestamptz not null default now(),
  finished_at       timestamptz,
  unique (job_id, run_number)
);
create index pushes_due on pushes (next_attempt_at) where next_attempt_at is not null;
create index pushes_of_worker on pushes (worker_id) where worker_id is not null;

-- Attempts that may have left something unfinished at the destination; a row goes when it is removed there.
create table push_remains (
  push_id  bigint not null references pushes on delete cascade,
  claim    bigint not null,
  nonce    text not null,                       -- in the names of the attempt's temporary objects
  notes    text[] not null default '{}',        -- what the other side calls them
  primary key (push_id, claim)
);

-- The newest run that has published, or is about to: an older one must not come after it.
create table push_targets (
  instance_id  bigint not null references instances,
  path         text not null,
  job_number   bigint not null,
  run_number   integer not null,
  primary key (instance_id, path)
);

-- What status and callback tell of the newest run's push: {instanceId, path, state, attempts, bytes, error}
alter table jobs add column push jsonb;
