-- Who gets a callback, read off its URL for every row, also those that an older release writes: host and port.
alter table deliveries
  add column host text not null
    generated always as (coalesce(lower(substring(url from '^[A-Za-z]+://(?:[^/?#]*@)?([^/?#]*)')), '')) stored,
  add column error           text,                        -- of the last attempt, or why there is none any more
  add column began_at        timestamptz,                 -- of the schedule: the last resend; null: created_at
  add column resend_count    integer not null default 0,
  add column attempts_before integer not null default 0,  -- attempt_count when the schedule began
  add column claims_before   bigint  not null default 0;  -- claim when the schedule began

create index deliveries_by_receiver on deliveries (organisation_id, host, next_attempt_at, id)
  where next_attempt_at is not null;
create index deliveries_taken on deliveries (organisation_id, host)
  where next_attempt_at is not null and (lease_expires_at is not null or nudged_at is not null);
create index deliveries_of_instance on deliveries (instance_id, id);
create index deliveries_by_status on deliveries (status);

-- What is known of a host that gets callbacks of an organisation: one tenant's failures do not stop another's.
create table receivers (
  organisation_id  bigint not null references organisations on delete cascade,
  host             text not null,
  answered_at      timestamptz,                -- the first good answer; null: never
  failure_count    integer not null default 0, -- in a row
  last_error       text,
  paused_until     timestamptz,                -- nobody asks it before
  pause_s          double precision,           -- length of that pause; the next one is twice as long
  primary key (organisation_id, host)
);

-- Callbacks that a process can send at once.
alter table workers add column callback_slots integer not null default 0;
