-- Since when a slice has made no progress and what its holder does, so that a job that stands still can say why. The
-- page times are a histogram of constant size (app.domain.stalls); what is long is measured by their 95th percentile.
alter table slices
  add column progressed_at  timestamptz not null default now(), -- the last checkpoint, or the beginning
  add column page_times     smallint[]  not null default '{}',
  add column page_p95_s     real,                               -- null: no page yet
  add column held_since     timestamptz,
  add column doing          text,                               -- of a holder that shows signs of life only
  add column doing_since    timestamptz;

-- What the evidence of a job needs to know of its connector and of the child records that were nested in its records.
alter table jobs
  add column page_size            integer,                      -- that its first page was asked with
  add column resume               text,                         -- what going on at a stored cursor promises
  add column child_count          bigint not null default 0,    -- child look-ups that found something, each once a leg
  add column child_missing_count  bigint not null default 0;    -- records whose child the vendor does not have
