-- What the platform refused of the agents' messages, counted by minute: the audit of the wire.
CREATE TABLE agents.refusals (
    site      text NOT NULL,
    receiver  text NOT NULL,
    minute    timestamptz NOT NULL,
    reason    text NOT NULL,
    topic     text NOT NULL,
    claimed   text NOT NULL,
    refused   bigint NOT NULL,
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    detail    text NOT NULL,
    PRIMARY KEY (site, receiver, minute, reason, topic, claimed)
);
CREATE INDEX refusals_minute ON agents.refusals (minute);
