-- What is in force for this database, such as the window length that its ledger is cut by.
CREATE TABLE platform.settings (
    name   text PRIMARY KEY,
    value  jsonb NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now()
);
