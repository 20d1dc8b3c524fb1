-- Newest jobs of an instance in one state, however long its history.
create index jobs_of_instance_by_status on jobs (instance_id, status, number desc);

-- The sequence keeps numbers unique. An index on them alone tempts the planner to look for the jobs of one instance by
-- walking back through everybody's.
alter table jobs drop constraint jobs_number_key;
