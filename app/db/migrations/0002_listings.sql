-- The sequence keeps numbers unique. An index on them alone tempts the planner to look for the jobs of one instance by
-- walking back through everybody's. First, since it needs the table for itself: asked for behind `create index`, which
-- lets readers with locks in, each would wait for the other.
alter table jobs drop constraint jobs_number_key;

-- Newest jobs of an instance in one state, however long its history. Submissions wait while it is built.
create index jobs_of_instance_by_status on jobs (instance_id, status, number desc);
