-- Pushes by state, for the operator's gauges.
create index pushes_by_state on pushes (state);
