"""What servers take from the database to work on: orphaned runs, messages that are due, decisions whose time is over.

Each is one statement. The time is the database's own, so that servers whose clocks differ agree on it.
"""

from collections.abc import Sequence
from typing import Any

from golive.store.ports import DecisionRow, Delivery

NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision AS t"
DECISION_COLUMNS = ", ".join(f'"{name}"' for name in DecisionRow.__struct_fields__)
DELIVERY_COLUMNS = ", ".join(Delivery.__struct_fields__)

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
ACQUIRE = f"""
UPDATE leases SET epoch = epoch + 1, holder = $3, at = ({NOW}) WHERE tenant = $1 AND run = $2 RETURNING epoch, "user"
"""
BEAT = f"""
WITH now AS MATERIALIZED ({NOW}), said AS (
    INSERT INTO holders (holder, until) SELECT $1, t + $2::double precision FROM now
    ON CONFLICT (holder) DO UPDATE SET until = greatest(holders.until, excluded.until)
)
SELECT coalesce((SELECT until FROM holders WHERE holder = $1) > t, true) FROM now
"""
"""The last line sees the row as it was before."""
LEAVE = f"""
WITH now AS MATERIALIZED ({NOW}), forgotten AS (
    DELETE FROM holders USING now WHERE holder <> $1 AND until < t - 86400
)
UPDATE holders SET until = least(until, t) FROM now WHERE holder = $1
"""
"""Holders that have been gone for a day are removed."""
HELD = "SELECT tenant, run FROM leases WHERE holder = $1 AND NOT at_rest ORDER BY run, tenant"
END_OTHERS = f"""
UPDATE holders SET until = least(until, t) FROM ({NOW}) AS now WHERE holder <> $1 AND starts_with(holder, $2)
"""

CLAIM = f"""
WITH now AS MATERIALIZED ({NOW}), orphans AS MATERIALIZED (
    SELECT leases.tenant, leases.run, leases.epoch
    FROM now CROSS JOIN leases LEFT JOIN holders ON holders.holder = leases.holder
    WHERE NOT at_rest AND (
        leases.holder <> $1 AND coalesce(until, leases.at) <= t
            AND (leases.version = ANY ($2::text[]) OR coalesce(until, leases.at) <= t - $3::double precision)
        OR leases.holder = $1 AND leases.at = ANY ($6::double precision[])
    )
    ORDER BY leases.run, leases.tenant LIMIT 4 * $4::bigint
), taken AS (
    SELECT leases.tenant, leases.run FROM leases JOIN orphans USING (tenant, run, epoch)
    WHERE NOT at_rest ORDER BY leases.run, leases.tenant LIMIT $4 FOR UPDATE OF leases SKIP LOCKED
)
UPDATE leases SET epoch = leases.epoch + 1, holder = $1, at = $5 FROM taken
WHERE leases.tenant = taken.tenant AND leases.run = taken.run
RETURNING leases.tenant, leases.run, leases.epoch, leases."user"
"""
"""Who else claims at the same time is passed over: a row that is locked, and one whose epoch moved since it was found.

$5 marks what this very call takes: where its answer was lost, a later call finds by the mark ($6) what it took.
"""

DUE_DECISIONS = f"""
SELECT {DECISION_COLUMNS} FROM decisions WHERE choice IS NULL AND expires_at <= ({NOW})
ORDER BY expires_at, tenant, id LIMIT $1
"""

CLAIM_MESSAGES = f"""
WITH now AS MATERIALIZED ({NOW}), due AS MATERIALIZED (
    SELECT tenant, id, due_at AS was FROM outbox
    WHERE state = 'due' AND due_at <= (SELECT t FROM now) AND ($3::text IS NULL OR target = $3)
        AND target <> ALL ($4::text[])
    ORDER BY due_at, tenant, id LIMIT $2 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE outbox SET due_at = t + $1::double precision, attempts = attempts + 1 FROM due, now
    WHERE outbox.tenant = due.tenant AND outbox.id = due.id
    RETURNING {", ".join(f"outbox.{name}" for name in Delivery.__struct_fields__)}, was
)
SELECT {DELIVERY_COLUMNS} FROM taken ORDER BY was, tenant, id
"""
SETTLE = f"""
WITH now AS MATERIALIZED ({NOW})
UPDATE outbox SET state = $1, due_at = CASE WHEN $1 = 'due' THEN t + $2::double precision ELSE due_at END,
    done_at = CASE WHEN $1 = 'due' THEN NULL ELSE t END, last_error = $3,
    attempts = greatest(0, attempts - $6::integer)
FROM now WHERE tenant = $4 AND id = $5 AND state = 'due'
"""

OTHERS = """
SELECT count(*) FROM (
    SELECT state FROM runs WHERE tenant = $1 AND conversation = $2 AND run <> $3 ORDER BY run DESC LIMIT $5
) AS newest WHERE state = ANY ($4::text[])
"""
"""How many other runs of a conversation are in these states."""

SEQS = """
SELECT v.place, leases.seq FROM unnest($1::text[], $2::text[], $3::bigint[]) AS v (tenant, run, place)
CROSS JOIN LATERAL (SELECT seq FROM leases WHERE tenant = v.tenant AND run = v.run OFFSET 0) AS leases
"""
"""How far runs are."""


def decision(row: Sequence[Any]) -> DecisionRow:
    """A row of `DECISION_COLUMNS` as the struct."""
    return DecisionRow(**dict(zip(DecisionRow.__struct_fields__, row, strict=True)))


def delivery(row: Sequence[Any]) -> Delivery:
    """A row of `DELIVERY_COLUMNS` as the struct."""
    return Delivery(**dict(zip(Delivery.__struct_fields__, row, strict=True)))
