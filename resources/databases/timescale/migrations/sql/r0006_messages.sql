-- The topic of an event; null for every other message.
ALTER TABLE agents.messages ADD COLUMN topic text;
