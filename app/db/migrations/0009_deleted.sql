-- Lists of what changed have records that say of themselves that they are deleted; a connector may leave them out.
alter table jobs add column deleted_count bigint not null default 0;
