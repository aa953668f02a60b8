"""The parts of the agent SDK: declared commands, event subscriptions, the queue of work, presence, events to be sent.

What a program embeds is `resources.agents.agent`; nothing here opens a connection or knows keys.
"""
