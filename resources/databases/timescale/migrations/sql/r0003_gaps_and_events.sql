-- What is known of the filling of a gap from its source's history. changed_at: when the collector last changed the row.
-- filled_to: up to here history has been read and stored. judged_to: windows up to here have been judged with the gap.
ALTER TABLE scada.gaps
    ADD COLUMN changed_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN filled_to       timestamptz,
    ADD COLUMN judged_to       timestamptz,
    ADD COLUMN rows_read       bigint NOT NULL DEFAULT 0,
    ADD COLUMN rows_filled     bigint NOT NULL DEFAULT 0,
    ADD COLUMN without_history text[] NOT NULL DEFAULT '{}',
    ADD COLUMN attempts        int4 NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN last_error      text;
CREATE INDEX gaps_until ON scada.gaps (site, collector, "to");
-- nothing to be done about gaps of the time before: they are judged with their windows as those are stored again
UPDATE scada.gaps SET judged_to = "to" WHERE "to" IS NOT NULL AND filled_at IS NULL;

-- What a source says of itself: alarms, conditions and other events. Columns are null for the platform's own events.
ALTER TABLE scada.events
    ADD COLUMN received_at     timestamptz,
    ADD COLUMN source_event_id text,
    ADD COLUMN source_node     text,
    ADD COLUMN source_name     text,
    ADD COLUMN severity_number int4,
    ADD COLUMN condition_id    text,
    ADD COLUMN condition_name  text,
    ADD COLUMN branch_id       text,
    ADD COLUMN active          bool,
    ADD COLUMN acked           bool,
    ADD COLUMN confirmed       bool,
    ADD COLUMN retain          bool,
    ADD COLUMN state_hash      text;
-- Two alarms of one type may come from one source at one instant; what tells them apart is the event's own id.
ALTER TABLE scada.events DROP CONSTRAINT events_site_event_type_source_sensor_id_time_key;
CREATE UNIQUE INDEX events_of_the_platform ON scada.events (site, event_type, source, sensor_id, time) NULLS NOT DISTINCT
    WHERE source_event_id IS NULL;
CREATE UNIQUE INDEX events_once ON scada.events (site, source, source_event_id) WHERE source_event_id IS NOT NULL;
-- A condition that is told again after a reconnect may bear a new id: the same state at the same time is the same event.
CREATE UNIQUE INDEX conditions_once ON scada.events (site, source, condition_id, branch_id, time, state_hash)
    NULLS NOT DISTINCT WHERE condition_id IS NOT NULL;
CREATE INDEX events_source ON scada.events (source, time);
