"""Everything the platform needs to judge what comes and to sign what goes, made from the configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resources.agents.config import AgentsConfig
from resources.agents.identity import KeyFiles, identity_of
from resources.agents.record.refusal_book import RefusalBook
from resources.agents.security.judge import Judge
from resources.agents.security.keys import PublicKeys, load_encryption_keys
from resources.agents.security.sealing import Sealer, SendingRules, SigningKey
from resources.agents.wire.refusals import Refusals
from resources.core.clock import Clock
from resources.core.process.home import gl_home


@dataclass(frozen=True, slots=True)
class Guard:
    """The platform's judge, its seal, and its book of what was refused."""

    judge: Judge
    sealer: Sealer
    refusals: Refusals
    book: RefusalBook


def guard_of(config: AgentsConfig, site: str, clock: Clock) -> Guard:
    """Return the guard of the orchestrator.

    Raises:
        ConfigError: A key file is missing or wrong.
    """
    me = identity_of(_key_files(config), site, clock, permissions=config.permissions, encrypt=config.encrypt_payloads)
    refusals = Refusals(config.orchestrator_id, clock)
    return Guard(me.judge, me.sealer, refusals, RefusalBook(refusals, site=site, home=gl_home()))


def _key_files(config: AgentsConfig) -> KeyFiles:
    return KeyFiles(config.private_key, config.public_keys, config.encryption_keys)


def encryption_faults(config: AgentsConfig, agents: Iterable[str]) -> list[str]:
    """Return what keeps encrypted payloads from being read, here or at `agents`; nothing if none are wanted.

    Raises:
        ConfigError: A key file is missing or wrong.
    """
    keys, me = PublicKeys(config.public_keys), config.orchestrator_id
    own = _key_files(config).own_encryption_keys(me)
    held = {} if own is None else load_encryption_keys(own, me)
    published = keys.encryption_key_of(me)
    faults = []
    if published is not None and published.kid not in held:
        faults.append(
            f"agents encrypt their answers to {published.kid}, whose private key is not here: bring {me}.enc.jwks "
            f"beside {config.private_key}, or revoke {published.kid}"
        )
    without = [agent for agent in agents if agent != me and keys.encryption_key_of(agent) is None]
    if config.encrypt_payloads == "always" and without:
        faults.append(
            f"{len(without)} agents have no key to encrypt to, among them {without[0]}, and get no commands: "
            "`gl agents keys FOLDER --encryption`"
        )
    return faults


def sending_rules(config: AgentsConfig) -> SendingRules:
    """Return what the platform refuses to accept for sending.

    Raises:
        ConfigError: A key file is missing or wrong.
    """
    role = SigningKey(config.private_key).role
    return SendingRules(role, config.permissions, PublicKeys(config.public_keys), config.encrypt_payloads)
