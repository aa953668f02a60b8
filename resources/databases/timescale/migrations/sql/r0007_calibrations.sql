-- Every calibration that stored readings have been made with, as it was then.
CREATE TABLE scada.calibrations (
    site        text NOT NULL,
    fingerprint text NOT NULL,
    sensor_id   text NOT NULL,
    certificate text NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz,
    definition  jsonb NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, fingerprint)
);
CREATE INDEX calibrations_sensor ON scada.calibrations (sensor_id, valid_from);

-- What was in force for a window: fingerprints of the calibrations that hold in it, and the atmosphere where it is not
-- the standard one. The empty set has the name ''.
CREATE TABLE scada.calibration_sets (
    site    text NOT NULL,
    name    text NOT NULL,
    members text[] NOT NULL,
    PRIMARY KEY (site, name)
);

-- Which sets the rows of a window were made with: more than one where later rows were merged under another one.
ALTER TABLE scada.window_ledger ADD COLUMN calibrations text[] NOT NULL DEFAULT '{""}';
-- How often stored rows were calibrated anew: part of the hour's revision, and not of the window's, which is the buffer's.
ALTER TABLE scada.window_ledger ADD COLUMN recalibrated int4 NOT NULL DEFAULT 0;

-- Who asked for stored rows to be calibrated anew, and why; `book` is the state of the configuration that was meant.
CREATE TABLE scada.recalibrations (
    recalibration_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site             text NOT NULL,
    book             text NOT NULL,
    requested_by     text NOT NULL,
    because          text NOT NULL,
    requested_at     timestamptz NOT NULL DEFAULT now(),
    windows          bigint NOT NULL DEFAULT 0,
    rows             bigint NOT NULL DEFAULT 0,
    run_id           text,
    completed_at     timestamptz
);
CREATE INDEX recalibrations_open ON scada.recalibrations (site) WHERE completed_at IS NULL;
