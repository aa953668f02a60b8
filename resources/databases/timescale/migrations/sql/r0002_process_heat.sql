CREATE SCHEMA IF NOT EXISTS process_heat;

-- One row per boiler and hour. efficiency is null where the balance cannot be drawn; reason then says why.
CREATE TABLE process_heat.boiler_efficiency (
    boiler         text NOT NULL,
    hour           timestamptz NOT NULL,
    efficiency     float8,
    steam_power_kw float8,
    fuel_power_kw  float8,
    good_share     float8,
    reason         text,
    site           text NOT NULL,
    run_id         text NOT NULL,
    computed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (boiler, hour)
);
CREATE INDEX boiler_efficiency_hour ON process_heat.boiler_efficiency (hour);

-- Which state of an hour an asset was made from: revision is the sum of the stored revisions of the hour's windows, so a
-- late revision of any of them makes the hour due again.
CREATE TABLE quality.hour_ledger (
    asset     text NOT NULL,
    hour      timestamptz NOT NULL,
    revision  bigint NOT NULL,
    rows      bigint NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    run_id    text NOT NULL,
    PRIMARY KEY (asset, hour)
);
