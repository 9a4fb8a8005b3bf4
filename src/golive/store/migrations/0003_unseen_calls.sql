-- A relayed call that is over within a second gets its row in `runs` once, at its end. Until then its lease alone knows of
-- it: a restart finds there what it has to settle. No query ever used the index by version.

DROP INDEX runs_by_version;

CREATE INDEX leases_begun ON leases (tenant, run) WHERE seq = 1;
