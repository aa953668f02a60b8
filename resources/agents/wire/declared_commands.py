"""Whether a command and its sender are what its agents have declared, before anything of it is stored or sent.

An agent checks them again, so this saves a round trip and a failed delivery; it is no defence of the agent. What an
agent has not declared (it was never heard of, or has no such command) is for the agent to answer.
"""

from __future__ import annotations

from functools import lru_cache

import orjson
import psycopg
from jsonschema.protocols import Validator

from resources.agents.wire.message import CommandOffer, Message
from resources.agents.wire.permissions import undeclared_role
from resources.agents.wire.schemas import schema_fault, validator_of
from resources.core.errors import DataError

_NAMED = 5

# a fleet of one kind has one schema: one row for all of them
_SCHEMAS = """
SELECT (c.command -> 'schema')::text, c.command -> 'roles', array_agg(s.agent_id ORDER BY s.agent_id)
FROM agents.sessions s, jsonb_array_elements(s.commands) AS c (command)
WHERE s.agent_id = ANY(%s) AND c.command ->> 'name' = %s
GROUP BY 1, 2 ORDER BY 3
"""


def refuse_unfit(connection: psycopg.Connection, message: Message, role: str = "orchestrator") -> None:
    """Refuse a command or query whose arguments, or the role of its sender, one of its targets would refuse.

    Raises:
        DataError: It would; the message names what and which agents.
    """
    name, args = message.payload["name"], message.payload["args"]
    found = connection.execute(_SCHEMAS, (message.target_agents, name)).fetchall()
    faults = []
    for schema, roles, agents in found:
        fault = undeclared_role([CommandOffer(name=name, roles=roles)], name, role)
        fault = fault or schema_fault(_validator(schema), args)
        if fault is not None:
            more = f" and {len(agents) - _NAMED} more" if len(agents) > _NAMED else ""
            faults.append(f"{fault} (declared by {', '.join(agents[:_NAMED])}{more})")
    if faults:
        raise DataError(
            f"{message.message_type} {name}: its arguments do not fit what the agents have declared, or its sender: "
            f"{'; '.join(faults)}; nothing was sent. Correct them, or leave this check out to let the agents judge"
        )


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Validator:
    return validator_of(orjson.loads(schema))
