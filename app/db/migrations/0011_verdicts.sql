-- How many rows of an upload have which verdict, counted as they get it; `unreadable`: of the failed ones those that
-- could not even be parsed, `unsent`: rows that the ended run left without a verdict.
alter table jobs add column verdict_counts jsonb not null default '{}';

-- A row that came from another job's failures and may have been taken there is sent under that job's idempotency key.
alter table upload_rows add column keyed_by bigint;

-- Failed rows up to these numbers were given to another job; without this a second call would send them a second time.
alter table uploads add column retried_to bigint not null default 0,
                    add column uncertain_retried_to bigint not null default 0;
create index uploads_by_source on uploads (source_job_id) where source_job_id is not null;
