CREATE SCHEMA agents;

CREATE TABLE agents.registry (
    agent_id          text PRIMARY KEY,
    agent_name        text NOT NULL,
    agent_type        text NOT NULL,
    capabilities      text[] NOT NULL DEFAULT '{}',
    status            text NOT NULL,
    last_heartbeat    timestamptz,
    performance_score float8
);

CREATE TABLE agents.messages (
    message_id     text PRIMARY KEY,
    correlation_id text,
    message_type   text NOT NULL,
    priority       text NOT NULL,
    source_agent   text NOT NULL,
    target_agents  text[] NOT NULL,
    payload        jsonb NOT NULL,
    sent_at        timestamptz NOT NULL,
    deadline       timestamptz NOT NULL,
    status         text NOT NULL
);
CREATE INDEX messages_sent ON agents.messages (sent_at);

CREATE TABLE agents.deliveries (
    message_id  text NOT NULL REFERENCES agents.messages ON DELETE CASCADE,
    agent_id    text NOT NULL,
    state       text NOT NULL CHECK (state IN ('queued', 'sent', 'answered', 'expired', 'failed', 'in_doubt')),
    attempts    int4 NOT NULL DEFAULT 0,
    sent_at     timestamptz,
    answered_at timestamptz,
    reason      text,
    PRIMARY KEY (message_id, agent_id)
);
CREATE INDEX deliveries_open ON agents.deliveries (agent_id) WHERE state IN ('queued', 'sent');

CREATE TABLE agents.responses (
    message_id     text PRIMARY KEY,
    correlation_id text NOT NULL,
    agent_id       text NOT NULL,
    payload        jsonb NOT NULL,
    received_at    timestamptz NOT NULL,
    latency_ms     float8
);
CREATE INDEX responses_correlation ON agents.responses (correlation_id);
