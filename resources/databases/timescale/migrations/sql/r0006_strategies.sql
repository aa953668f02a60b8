-- How a message is let go to its targets, in the order of target_agents (resources/agents/release.py); null: to all at
-- once, without looking after it.
ALTER TABLE agents.messages ADD COLUMN release jsonb;

-- Where the last turn of a ring of round-robin ended.
CREATE TABLE agents.turns (
    name       text PRIMARY KEY,
    agent_id   text
);

-- Agents that were silent when last sent a command; without a row an agent is well (resources/agents/circuits.py).
CREATE TABLE agents.circuits (
    agent_id   text PRIMARY KEY,
    failures   int4 NOT NULL,
    failed_at  timestamptz NOT NULL,
    probed_at  timestamptz
);
