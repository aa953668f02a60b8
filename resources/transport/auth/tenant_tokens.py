"""One source of tokens for each client of a tenant, shared by all clients of this process that are open at once.

Source: RFC 6749, 1.4: a token is the client's, not the connection's; two clients of a tenant need not ask twice.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from resources.core.clock import Clock, SystemClock
from resources.transport.auth.config import TokenGrant
from resources.transport.auth.oauth import TokenSource
from resources.transport.connections.config import HttpConfig

_shared: WeakValueDictionary[tuple[object, ...], TokenSource] = WeakValueDictionary()
_sharing = threading.Lock()


def shared_tokens(
    source: str, config: TokenGrant, http: HttpConfig, *, tls: ssl.SSLContext, refused: Path | None, clock: Clock
) -> TokenSource:
    """Return the tokens of a client of a tenant: the same to all in this process that use it at the same time.

    Whoever is done with them says so by `release_tokens`: they are forgotten with the last one.
    """
    key = (
        source,
        config.model_dump_json(),
        # clients of one tenant may differ in patience: a report takes longer than a page
        http.model_dump_json(include={"ca_certificate", "allow_tls_1_2", "pinned_sha256", "proxy_url"}),
        refused,
        None if isinstance(clock, SystemClock) else id(clock),
    )
    with _sharing:
        found = _shared.get(key)
        if found is None:
            found = TokenSource(source, config, http, tls=tls, refused=refused, clock=clock)
            _shared[key] = found
        found.users += 1
        return found


def release_tokens(tokens: TokenSource) -> None:
    """Give back what `shared_tokens` gave."""
    with _sharing:
        tokens.users -= 1
        if tokens.users == 0:
            for key in [key for key, held in _shared.items() if held is tokens]:
                del _shared[key]
