-- Which job goes on where which one ended. `source_run`: the newest run of the source then; no reference, since a source
-- may be forgotten before the jobs that go on from it.
create table continuations (
  job_id         bigint  primary key references jobs on delete cascade,
  source_job_id  bigint  not null,
  source_run     integer not null
);
create index continuations_of_source on continuations (source_job_id);

-- How far the chain was at this job, for jobs with filterDateField. Instants are microseconds since 1970 UTC, so that
-- every year from 1 to 9999 fits. A chain is called by the id of its first job.
create table chain_marks (
  job_id    bigint primary key references jobs on delete cascade,
  chain_id  bigint not null,
  floor_us  bigint,   -- null in the first pass; from here on the chain remembers what it delivered
  clock_us  bigint,   -- the vendor's clock at the first page of the pass
  high_us   bigint    -- highest filterDateField delivered in this pass
);
create index chain_marks_of_chain on chain_marks (chain_id);

-- The last version of each record that a chain has delivered, as long as a later pass may see it again.
create table chain_versions (
  chain_id  bigint not null,
  id_key    bytea  not null,   -- hash of the record's id
  digest    bytea  not null,   -- hash of the record
  at_us     bigint not null,   -- its filterDateField
  job_id    bigint not null,   -- who delivered it
  primary key (chain_id, id_key)
);
create index chain_versions_by_age on chain_versions (chain_id, at_us);

alter table slices
  add column moved_at timestamptz;                          -- when the page came that the cursor was found in
alter table jobs
  add column repeated_count bigint not null default 0,      -- records left out since the chain had delivered them
  add column seen_before    bigint not null default 0;      -- records that earlier jobs of the same pass saw

-- Position and memory of a job stay for a while after its files are gone.
drop index jobs_to_forget;
create index jobs_to_forget on jobs (files_deleted_at) where files_deleted_at is not null;
