-- Every attempt to write to the plant, refused ones and rehearsals included: one row, made before anything is sent and
-- completed afterwards. outcome: started (nothing sent yet), sending (may have been sent), then one of the others.
CREATE TABLE scada.writes_audit (
    write_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site           text NOT NULL,
    sensor_id      text NOT NULL,
    source         text,
    requested_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by   text NOT NULL,
    requested_via  text NOT NULL,
    requested_from text NOT NULL,
    run_id         text,
    note           text,
    dry_run        bool NOT NULL,
    new_value      float8 NOT NULL,
    unit           text,
    old_value      float8,
    sent_at        timestamptz,
    read_back      float8,
    outcome        text NOT NULL DEFAULT 'started' CHECK (outcome IN
                       ('started', 'sending', 'refused', 'dry_run', 'written', 'not_confirmed', 'failed', 'in_doubt')),
    reason         text,
    completed_at   timestamptz
);
-- a run sends one value, once: whatever repeats its step is refused before it sends
CREATE UNIQUE INDEX writes_audit_run ON scada.writes_audit (run_id) WHERE sent_at IS NOT NULL;
CREATE INDEX writes_audit_sensor ON scada.writes_audit (site, sensor_id, requested_at);

-- What was asked for never changes, a completed row is final, and no row goes: not by mistake.
CREATE FUNCTION scada.keep_writes_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.completed_at IS NULL
        AND (NEW.write_id, NEW.site, NEW.sensor_id, NEW.requested_at, NEW.requested_by, NEW.requested_via,
             NEW.requested_from, NEW.dry_run, NEW.new_value, NEW.run_id, NEW.note)
        IS NOT DISTINCT FROM
            (OLD.write_id, OLD.site, OLD.sensor_id, OLD.requested_at, OLD.requested_by, OLD.requested_via,
             OLD.requested_from, OLD.dry_run, OLD.new_value, OLD.run_id, OLD.note)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'scada.writes_audit is a record: its completed rows are neither changed nor deleted';
END $$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON scada.writes_audit
    FOR EACH ROW EXECUTE FUNCTION scada.keep_writes_audit();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON scada.writes_audit
    FOR EACH STATEMENT EXECUTE FUNCTION scada.keep_writes_audit();
