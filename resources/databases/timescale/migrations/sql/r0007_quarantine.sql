-- Batches of corrections: who had rejected rows replayed, when, why, and how they were corrected.
CREATE TABLE quality.corrections (
    correction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site          text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('readings', 'records')),
    made_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_by       text NOT NULL,
    made_from     text NOT NULL,
    because       text NOT NULL CHECK (because <> ''),
    how           jsonb NOT NULL,
    rows          bigint NOT NULL,
    -- the last replay
    replays       int4 NOT NULL DEFAULT 0,
    replayed_at   timestamptz,
    run_id        text
);

-- The rows of a batch of readings: the rejected row with its original, what it was corrected to, and what came of it.
-- The rejected row itself keeps standing in scada.rejected_readings; a later revision may write it again.
CREATE TABLE quality.corrected_readings (
    correction_id bigint NOT NULL REFERENCES quality.corrections,
    number        int4 NOT NULL,
    site          text NOT NULL,
    collector     text NOT NULL,
    window_start  timestamptz NOT NULL,
    sequence      bigint NOT NULL,
    original      jsonb NOT NULL,
    reasons       text[] NOT NULL,
    source        text NOT NULL,
    sensor_id     text,
    time          timestamptz,
    value         float8,
    text_value    text,
    unit          text,
    status        text,
    outcome       text NOT NULL DEFAULT 'pending'
                  CHECK (outcome IN ('pending', 'stored', 'standing', 'rejected', 'occupied', 'repeated')),
    why           text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (correction_id, number)
);
CREATE INDEX corrected_readings_row ON quality.corrected_readings (window_start, sequence);

-- The rows of a batch of ERP records. corrected is null where the record was to be standardised as it is. A correction
-- is in force while the system still gives the record that was corrected (landed_hash).
CREATE TABLE quality.corrected_records (
    correction_id  bigint NOT NULL REFERENCES quality.corrections,
    number         int4 NOT NULL,
    system         text NOT NULL,
    dataset        text NOT NULL,
    partition_date date,
    source_key     text NOT NULL,
    landed_hash    text NOT NULL,
    original       jsonb NOT NULL,
    reasons        text[] NOT NULL,
    corrected      jsonb,
    outcome        text NOT NULL DEFAULT 'pending' CHECK (outcome IN ('pending', 'stored', 'rejected', 'superseded')),
    why            text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (correction_id, number)
);
CREATE INDEX corrected_records_key ON quality.corrected_records (system, dataset, source_key);

-- A rejected record that was corrected keeps standing, and says by which batch.
ALTER TABLE erp.rejected_records ADD COLUMN corrected_by bigint REFERENCES quality.corrections;

-- What was corrected, by whom and why never changes, and no row goes: not by mistake. The columns named may change.
CREATE FUNCTION quality.keep_corrections() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - TG_ARGV = to_jsonb(NEW) - TG_ARGV THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'quality.% is a record: what it says of a correction is neither changed nor deleted', TG_TABLE_NAME;
END $$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON quality.corrections
    FOR EACH ROW EXECUTE FUNCTION quality.keep_corrections('replays', 'replayed_at', 'run_id');
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON quality.corrected_readings
    FOR EACH ROW EXECUTE FUNCTION quality.keep_corrections('window_start', 'sequence', 'outcome', 'why');
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON quality.corrected_records
    FOR EACH ROW EXECUTE FUNCTION quality.keep_corrections('outcome', 'why');
CREATE TRIGGER keep_table BEFORE TRUNCATE ON quality.corrections
    FOR EACH STATEMENT EXECUTE FUNCTION quality.keep_corrections();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON quality.corrected_readings
    FOR EACH STATEMENT EXECUTE FUNCTION quality.keep_corrections();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON quality.corrected_records
    FOR EACH STATEMENT EXECUTE FUNCTION quality.keep_corrections();
