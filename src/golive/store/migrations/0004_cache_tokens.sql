-- Tokens that a call wrote to a provider's cache, and what caches saved of a run's cost. Earlier journals tell of neither.

ALTER TABLE ledger ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN saved_microusd INTEGER NOT NULL DEFAULT 0;
