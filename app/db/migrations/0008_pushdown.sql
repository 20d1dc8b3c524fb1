-- What of a job's conditions its vendor is told, decided once when the job is submitted: pages of one list must all be
-- asked for alike, whatever release asks. {"params": query parameters, "vendor": OCNQL, "here": OCNQL that only we apply}
alter table jobs add column pushed jsonb;
