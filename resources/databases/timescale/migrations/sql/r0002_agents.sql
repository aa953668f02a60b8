-- What the orchestrator must not forget beside the public tables.

CREATE TABLE agents.sessions (
    agent_id     text PRIMARY KEY,
    session_id   text NOT NULL,
    issued_at    timestamptz NOT NULL,
    message_id   text NOT NULL,
    commands     jsonb NOT NULL
);

CREATE TABLE agents.seen_ids (
    message_id   text PRIMARY KEY,
    content_hash bytea NOT NULL,
    keep_until   timestamptz NOT NULL
);
CREATE INDEX seen_ids_keep_until ON agents.seen_ids (keep_until);

CREATE INDEX messages_open ON agents.messages (deadline) WHERE status = 'accepted';
