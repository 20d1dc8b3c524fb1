-- The window of time that a slice fetches, in nanoseconds since 1970 UTC: from start_ns to before end_ns; null: the job
-- has one slice, and that has no window of its own. vendor_total is what the vendor said of that window, and stray_count
-- the records that came for it and belong to another one.
alter table slices
  add column start_ns      bigint,
  add column end_ns        bigint,
  add column vendor_total  bigint,
  add column stray_count   bigint not null default 0;

-- asked_of_vendor: criteria that the vendor was asked to apply as well, by their names on the wire.
alter table jobs
  add column slice_count      integer not null default 1,
  add column asked_of_vendor  text[]  not null default '{}';
