-- A row is there for the time of one call: packing it would cost more than writing it.
alter table upload_rows alter column record set storage external;
