-- What a job left out, so that its totals can be compared with the vendor's. A job's engine is the older call that it
-- was submitted by (V2: /bulk/query) or the newer one (V3: /bulk/download); they differ in how results are given.
alter table jobs
  add column engine          text   not null default 'V3',
  add column filtered_count  bigint not null default 0,   -- records that date range or `where` left out
  add column undated_count   bigint not null default 0;   -- records left out since filterDateField held no date
