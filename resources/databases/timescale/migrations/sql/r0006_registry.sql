-- Declared in agents.yaml, or joined by its own heartbeat.
ALTER TABLE agents.registry ADD COLUMN declared bool NOT NULL DEFAULT false;
