-- Calls taken out of an instance's daily quota, in blocks ahead of use, so that nothing that happens to Redis can bring
-- a call back. What was taken and is lost stays counted. The day is that of the quota's own time zone.
create table instance_calls (
  instance_id  bigint not null references instances on delete cascade,
  day          date not null,
  calls        bigint not null,
  primary key (instance_id, day)
);

-- The vendor asked everybody who calls for this instance to stay away until then.
alter table instances add column blocked_until timestamptz;
