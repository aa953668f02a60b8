-- What the detectors of each equipment have learnt. The newest version of an equipment is the one in force.
CREATE TABLE scada.anomaly_models (
    site         text NOT NULL,
    equipment    text NOT NULL,
    version      int4 NOT NULL,
    fingerprint  text NOT NULL,
    model        jsonb NOT NULL,
    sensors      text[] NOT NULL,
    left_out     jsonb NOT NULL DEFAULT '{}',
    trained_from timestamptz NOT NULL,
    trained_to   timestamptz NOT NULL,
    rows         bigint NOT NULL,
    trained_at   timestamptz NOT NULL DEFAULT now(),
    run_id       text NOT NULL,
    PRIMARY KEY (site, equipment, version)
);

-- Of which state of a window each equipment's anomalies are; no row: the asset has not looked at the window.
CREATE TABLE scada.anomaly_ledger (
    site          text NOT NULL,
    window_start  timestamptz NOT NULL,
    equipment     text NOT NULL,
    revision      bigint NOT NULL,
    model_version int4 NOT NULL,
    rows          bigint NOT NULL,
    anomalous     bigint NOT NULL,
    scored_at     timestamptz NOT NULL DEFAULT now(),
    run_id        text NOT NULL,
    PRIMARY KEY (site, window_start, equipment)
);

-- An anomaly is of one equipment, lasts until ended_at, and was found live by the collector or by the asset.
ALTER TABLE scada.anomalies
    ADD COLUMN equipment     text,
    ADD COLUMN ended_at      timestamptz,
    ADD COLUMN model_version int4,
    ADD COLUMN found_by      text NOT NULL DEFAULT 'asset' CHECK (found_by IN ('asset', 'collector'));
CREATE INDEX anomalies_time ON scada.anomalies (time);
