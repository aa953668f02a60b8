-- Why a red gate was released, beside who and when.
ALTER TABLE quality.gate_results ADD COLUMN released_because text;

-- Which state of its sources a day of an asset was made from: sources_at is the newest of what was read.
CREATE TABLE quality.day_ledger (
    site       text NOT NULL,
    asset      text NOT NULL,
    day        date NOT NULL,
    sources_at timestamptz NOT NULL,
    rows       bigint NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    run_id     text NOT NULL,
    PRIMARY KEY (site, asset, day)
);

-- What a consumer of energy used and made in a day, as booked in the ERP and as measured, and what is left per tonne.
CREATE TABLE process_heat.energy_intensity (
    site                  text NOT NULL,
    consumer              text NOT NULL,
    day                   date NOT NULL,
    basis                 text,
    energy_kwh            float8,
    product_t             float8,
    intensity_kwh_per_t   float8,
    booked_energy_kwh     float8,
    booked_product_t      float8,
    measured_energy_kwh   float8,
    measured_product_t    float8,
    measured_hours        int4 NOT NULL,
    good_share            float8,
    reason                text,
    run_id                text NOT NULL,
    computed_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, consumer, day)
);
CREATE INDEX energy_intensity_day ON process_heat.energy_intensity (day);

-- What a consumer's energy of a day cost, by type of energy.
CREATE TABLE process_heat.energy_cost (
    site            text NOT NULL,
    consumer        text NOT NULL,
    day             date NOT NULL,
    energy_type     text NOT NULL,
    basis           text,
    energy_kwh      float8,
    price_per_kwh   float8,
    cost            float8,
    cost_per_t      float8,
    currency        text,
    reason          text,
    run_id          text NOT NULL,
    computed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, consumer, day, energy_type)
);
CREATE INDEX energy_cost_day ON process_heat.energy_cost (day);
