CREATE SCHEMA quality;

-- Every result of every gate; a red blocking one holds its hour back until a person has released it.
CREATE TABLE quality.gate_results (
    gate_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset       text NOT NULL,
    partition   text NOT NULL,
    revision    int4 NOT NULL,
    "check"     text NOT NULL,
    passed      bool NOT NULL,
    blocking    bool NOT NULL,
    metadata    jsonb NOT NULL DEFAULT '{}',
    run_id      text NOT NULL,
    checked_at  timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz
);
CREATE INDEX gate_results_partition ON quality.gate_results (asset, partition, "check", gate_id);
CREATE INDEX gate_results_red ON quality.gate_results (asset, partition)
    WHERE NOT passed AND blocking AND released_at IS NULL;
