"""Everything the platform needs to judge what comes and to sign what goes, made from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from resources.agents.config import AgentsConfig
from resources.agents.encryption import PayloadCipher
from resources.agents.judge import Judge
from resources.agents.keys import PublicKeys, encryption_keys_beside
from resources.agents.refusal_book import RefusalBook
from resources.agents.refusals import Refusals
from resources.agents.sealing import Sealer, SendingRules, SigningKey
from resources.core.clock import Clock
from resources.core.home import gl_home


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
    keys = PublicKeys(config.public_keys)
    own = config.encryption_keys or encryption_keys_beside(config.private_key, config.orchestrator_id)
    cipher = PayloadCipher.of(config.orchestrator_id, own, keys)
    refusals = Refusals(config.orchestrator_id, clock)
    return Guard(
        Judge(keys, site, clock, permissions=config.permissions, cipher=cipher),
        Sealer(SigningKey(config.private_key), site, clock, cipher=cipher, encrypt=config.encrypt_payloads),
        refusals,
        RefusalBook(refusals, site=site, home=gl_home()),
    )


def sending_rules(config: AgentsConfig) -> SendingRules:
    """Return what the platform refuses to accept for sending.

    Raises:
        ConfigError: A key file is missing or wrong.
    """
    role = SigningKey(config.private_key).role
    return SendingRules(role, config.permissions, PublicKeys(config.public_keys), config.encrypt_payloads)
