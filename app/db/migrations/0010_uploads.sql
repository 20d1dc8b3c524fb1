-- Files that are being received. The row is written before the object and goes with the submission that takes the file
-- over, so that a door that dies in between leaves nothing behind that nobody knows of.
create table intakes (
  id               bigint generated always as identity primary key,
  organisation_id  bigint not null references organisations,
  object_key       text not null unique,
  created_at       timestamptz not null default now()
);
create index intakes_by_age on intakes (created_at);

-- What an upload job reads. The position in it stands on the slice: {"offset", "line", "row"} of the next row.
create table uploads (
  job_id         bigint primary key references jobs on delete cascade,
  object_key     text not null,
  input_bytes    bigint not null,
  form           jsonb,              -- how the file is written, once the first leg has looked at it
  source_job_id  bigint              -- the job whose failed rows these are
);

-- One row of the file: in work until it has its verdict, which it keeps.
create table upload_rows (
  job_id         bigint not null references jobs on delete cascade,
  number         bigint not null,    -- of the row, from 1
  line           bigint not null,    -- of the file, from 1
  verdict        text,
  is_sent        boolean not null default false,  -- a call with it was begun, and what came of it is not known here
  doubted_at     timestamptz,        -- when a leg found it sent by an earlier one that had not told of it
  attempt_count  integer not null default 0,
  record         bytea,              -- JSON text, while it is in work and where it may be asked for again
  vendor_id      text,
  http_status    integer,
  error_class    text,
  detail         text,
  primary key (job_id, number)
) with (fillfactor = 80);
create index upload_rows_open on upload_rows (job_id, number) where verdict is null;
create index upload_rows_failed on upload_rows (job_id, number) where verdict in ('FAILED', 'UNCERTAIN', 'NOT_SENT');

alter table jobs add column failed_count bigint not null default 0,     -- rows with a verdict that is a failure
                 add column uncertain_count bigint not null default 0;  -- of these, the ones that may have been taken
