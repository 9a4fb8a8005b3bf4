-- Who may do what in PostgreSQL. Run after the tables were made or changed; running it again changes nothing.
--
-- golive_writer  what appends go through: adds events, ledger entries and messages, and can change or remove none.
-- golive_reader  what tenants read through: sees the rows of the tenant that its transaction names, and no other.
-- golive_server  what works for all tenants: claims, due messages, keys, schedules, pruning.
--
-- Nobody logs in as one of them. The user that golive connects as is a member of all three.

DO $$
DECLARE
    wanted TEXT;
    members TEXT[] := ARRAY['golive_writer', 'golive_reader', 'golive_server'];
BEGIN
    FOREACH wanted IN ARRAY members LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster was faster: roles are the cluster's
            END;
        END IF;
        -- Who made the role is a member that may administer it, and from PostgreSQL 16 on not one that may use it.
        IF NOT pg_has_role(current_user, wanted, 'USAGE') THEN
            BEGIN
                EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
            EXCEPTION WHEN unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO golive_writer, golive_reader, golive_server', current_schema());
END
$$;

GRANT SELECT ON schema_version TO golive_writer, golive_reader, golive_server;

-- The columns that the writer may read say where a run stands and whether a write stands; none holds content.
GRANT INSERT, SELECT (tenant, run, seq, epoch) ON events TO golive_writer;
GRANT INSERT, SELECT (tenant, run, epoch, seq, at, kind, target, amount_microusd) ON ledger TO golive_writer;
GRANT INSERT, SELECT (tenant, run, id) ON outbox TO golive_writer;
GRANT INSERT, SELECT, UPDATE ON leases, runs, decisions TO golive_writer;
GRANT SELECT ("only", pings), UPDATE (pings) ON installation TO golive_writer;

GRANT SELECT ON leases, events, ledger, outbox, decisions, runs, versions, keys, schedules TO golive_reader;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    installation, holders, leases, outbox, decisions, runs, versions, keys, schedules TO golive_server;
GRANT SELECT, INSERT, DELETE ON events TO golive_server;
GRANT SELECT, INSERT ON ledger TO golive_server;

-- Row-level security is forced, so that it holds for the tables' owner too: whoever has no policy sees no row.
DO $$
DECLARE
    guarded TEXT;
    tables TEXT[] := ARRAY[
        'leases', 'events', 'ledger', 'outbox', 'decisions', 'runs', 'versions', 'keys', 'schedules'
    ];
BEGIN
    FOREACH guarded IN ARRAY tables LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('DROP POLICY IF EXISTS reader ON %I', guarded);
        EXECUTE format('DROP POLICY IF EXISTS writer ON %I', guarded);
        EXECUTE format('DROP POLICY IF EXISTS server ON %I', guarded);
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO golive_reader '
            'USING (tenant = current_setting(''golive.tenant'', true))', guarded);
        EXECUTE format('CREATE POLICY server ON %I TO golive_server USING (true) WITH CHECK (true)', guarded);
        IF guarded NOT IN ('versions', 'keys', 'schedules') THEN
            EXECUTE format('CREATE POLICY writer ON %I TO golive_writer USING (true) WITH CHECK (true)', guarded);
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION golive_audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_heads' THEN
        IF NEW.tenant = OLD.tenant AND NEW.seq > OLD.seq THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' THEN
        IF EXISTS (
            SELECT FROM audit_checkpoints WHERE tenant = OLD.tenant AND kind = 'pruned' AND seq >= OLD.seq
        ) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_checkpoints' THEN
        IF EXISTS (
            SELECT FROM audit_checkpoints WHERE tenant = OLD.tenant AND kind = 'pruned'
                AND (seq > OLD.seq OR (seq = OLD.seq AND OLD.kind <> 'pruned'))
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- The audit log: rows are added and never changed, and go only up to a mark that says so. Not there below schema 8.
DO $$
DECLARE
    guarded TEXT;
BEGIN
    IF to_regclass('audit') IS NULL THEN
        RETURN;
    END IF;
    GRANT SELECT ON audit, audit_heads, audit_checkpoints TO golive_reader;
    GRANT SELECT, INSERT, DELETE ON audit, audit_checkpoints TO golive_server;
    GRANT SELECT, INSERT, UPDATE ON audit_heads TO golive_server;
    FOREACH guarded IN ARRAY ARRAY['audit', 'audit_heads', 'audit_checkpoints'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('DROP POLICY IF EXISTS reader ON %I', guarded);
        EXECUTE format('DROP POLICY IF EXISTS server ON %I', guarded);
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO golive_reader '
            'USING (tenant = current_setting(''golive.tenant'', true))', guarded);
        EXECUTE format('CREATE POLICY server ON %I TO golive_server USING (true) WITH CHECK (true)', guarded);
        EXECUTE format('DROP TRIGGER IF EXISTS kept ON %I', guarded);
        EXECUTE format(
            'CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION golive_audit_kept()',
            guarded);
    END LOOP;
END
$$;

-- The fingerprints of secrets belong to no tenant, and readers and the writer see none. Not there below schema 10.
DO $$
BEGIN
    IF to_regclass('secret_fingerprints') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE ON secret_fingerprints TO golive_server;
    END IF;
END
$$;

-- Keys that content is sealed under: readers and the writer see none, and none is removed, only emptied. Not there below
-- schema 9.
DO $$
BEGIN
    IF to_regclass('data_keys') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE ON data_keys TO golive_server;
        ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY;
        ALTER TABLE data_keys FORCE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS server ON data_keys;
        CREATE POLICY server ON data_keys TO golive_server USING (true) WITH CHECK (true);
    END IF;
END
$$;

-- Revoked tokens. Not there below schema 11.
DO $$
BEGIN
    IF to_regclass('tokens_revoked') IS NOT NULL THEN
        GRANT SELECT ON tokens_revoked TO golive_reader;
        GRANT SELECT, INSERT, DELETE ON tokens_revoked TO golive_server;
        ALTER TABLE tokens_revoked ENABLE ROW LEVEL SECURITY;
        ALTER TABLE tokens_revoked FORCE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS reader ON tokens_revoked;
        DROP POLICY IF EXISTS server ON tokens_revoked;
        CREATE POLICY reader ON tokens_revoked FOR SELECT TO golive_reader
            USING (tenant = current_setting('golive.tenant', true));
        CREATE POLICY server ON tokens_revoked TO golive_server USING (true) WITH CHECK (true);
    END IF;
END
$$;

-- Tenants, their users and their credentials. A tenant's row is never removed: nobody takes an erased one's place. Not
-- there below schema 12.
DO $$
DECLARE
    guarded TEXT;
BEGIN
    IF to_regclass('tenants') IS NULL THEN
        RETURN;
    END IF;
    GRANT SELECT ON tenants, tenant_users, tenant_credentials TO golive_reader;
    GRANT SELECT, INSERT, UPDATE ON tenants, tenant_users, tenant_credentials TO golive_server;
    GRANT DELETE ON tenant_users, tenant_credentials TO golive_server;
    FOREACH guarded IN ARRAY ARRAY['tenants', 'tenant_users', 'tenant_credentials'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('DROP POLICY IF EXISTS reader ON %I', guarded);
        EXECUTE format('DROP POLICY IF EXISTS server ON %I', guarded);
        EXECUTE format(
            'CREATE POLICY reader ON %I FOR SELECT TO golive_reader '
            'USING (tenant = current_setting(''golive.tenant'', true))', guarded);
        EXECUTE format('CREATE POLICY server ON %I TO golive_server USING (true) WITH CHECK (true)', guarded);
    END LOOP;
END
$$;
