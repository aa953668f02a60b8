ALTER TABLE agents.registry
    -- Declared in agents.yaml; false: joined by its own heartbeat.
    ADD COLUMN declared        bool NOT NULL DEFAULT false,
    -- The site whose agents.yaml declares it.
    ADD COLUMN declared_site   text,
    -- What the agent said of itself; `status` is what the platform makes of it.
    ADD COLUMN reported_status text,
    -- Why `status` is not online.
    ADD COLUMN status_reason   text,
    -- The evidence behind performance_score, as of score_at (resources/agents/score.py).
    ADD COLUMN score_good      float8 NOT NULL DEFAULT 0,
    ADD COLUMN score_weight    float8 NOT NULL DEFAULT 0,
    ADD COLUMN score_at        timestamptz,
    -- Which transaction wrote the row last: a reader asks for the rows since its last snapshot.
    ADD COLUMN changed_in      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- every heartbeat rewrites its row: room in the page keeps that off the index
    SET (fillfactor = 70);

CREATE FUNCTION agents.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id();
    RETURN NEW;
END
$$;
CREATE TRIGGER note_change BEFORE UPDATE ON agents.registry FOR EACH ROW EXECUTE FUNCTION agents.note_change();
