-- SHA-256 of plain bytes, computed when somebody asks for a manifest: of each segment, and of a whole revision, which
-- stands with its run. Until digest_until somebody is at it.
alter table segments add column sha256 bytea;
alter table runs add column sha256 bytea, add column digest_until timestamptz;
