"""What a server's refusals mean: status codes of OPC UA as errors in plain words.

Source: OPC 10000-4, 7.39 (StatusCodes); OPC 10000-6, 7.1.5 (errors of the connection).
"""

from __future__ import annotations

from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.uaerrors import UaError

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.scada.tls import explain

_AUTH = {
    "BadUserAccessDenied": "user name or password refused: check username and the variable that password names",
    "BadIdentityTokenRejected": "user name or password refused: check username and the variable that password names",
    "BadIdentityTokenInvalid": "the server does not take this kind of login: check username",
    "BadUserSignatureInvalid": "user name or password refused: check username and the variable that password names",
    "BadCertificateUntrusted": "the server does not trust client_certificate: have its administrator trust it",
    "BadCertificateTimeInvalid": "the server finds client_certificate expired or not yet valid: have it renewed",
    "BadCertificateIssuerTimeInvalid": "the CA of client_certificate has expired: have it renewed",
    "BadCertificateUriInvalid": "the URI in client_certificate is not the application URI: have it issued anew",
    "BadCertificateUseNotAllowed": "client_certificate may not be used for this: have it issued for clients",
    "BadCertificateRevoked": "client_certificate is revoked: have a new one issued",
    "BadCertificateInvalid": "the server finds client_certificate invalid: have it issued anew",
    "BadCertificateChainIncomplete": "the server does not know the CA of client_certificate: have it trust that CA",
    "BadSecurityChecksFailed": "security refused, most often because the server does not trust client_certificate",
    "BadSecurityPolicyRejected": "the server does not offer this security_policy: choose one that it offers",
    "BadSecurityModeRejected": "the server does not offer this security_mode: choose one that it offers",
    "BadApplicationSignatureInvalid": "the server cannot verify our signature: client_key must fit client_certificate",
}
_USER_CERTIFICATE = dict.fromkeys(
    ("BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadUserSignatureInvalid"),
    "user certificate refused: have the server's administrator allow user_certificate, and check that user_key fits it",
)
"""What replaces the words of _AUTH where the login is a certificate."""
_UNREACHABLE = frozenset({
    "BadTimeout", "BadRequestTimeout", "BadServerHalted", "BadServerNotConnected", "BadShutdown", "BadTooManySessions",
    "BadSecureChannelClosed", "BadSecureChannelIdInvalid", "BadSessionClosed", "BadSessionIdInvalid",
    "BadSessionNotActivated",
    "BadNoSubscription", "BadSubscriptionIdInvalid", "BadConnectionClosed", "BadCommunicationError",
    "BadResourceUnavailable",
    "BadOutOfMemory", "BadNotConnected", "BadTcpServerTooBusy", "BadTcpNotEnoughResources", "BadTooManySubscriptions",
})  # fmt: skip


def status_words(code: int) -> str:
    """Return a status code as its name and what it means."""
    name, meaning = get_name_and_doc(code & 0xFFFF_0000)
    return f"{name}: {meaning}"


def translate(
    error: BaseException, *, source: str, endpoint: str, doing: str = "connecting", by_certificate: bool = False
) -> SourceError:
    """Return the platform's error for what asyncua raised while `doing` something at `endpoint`.

    `by_certificate`: the user logs in by certificate, not by name.
    """
    if isinstance(error, SourceError):
        return error
    if not isinstance(error, UaError):
        return explain(error, source=source, peer=endpoint, doing=doing)
    name = type(error).__name__
    code = getattr(error, "code", None)
    if name not in _AUTH and code is not None:
        name = get_name_and_doc(code & 0xFFFF_0000)[0]
    tried = f"source {source}: {doing} at {endpoint}"
    if name in _AUTH:
        words = (_AUTH | _USER_CERTIFICATE)[name] if by_certificate else _AUTH[name]
        return AuthError(f"{tried}: {words} ({name})", source=source)
    said = status_words(code) if code is not None else str(error) or name
    if name == "BadTooManyOperations":
        return ThrottledError(
            f"{tried}: too many items in one request: lower max_items_per_call ({name})", source=source
        )
    if name in _UNREACHABLE:
        return UnreachableError(f"{tried}: {said} See the server's log.", source=source)
    return ProtocolError(f"{tried}: {said} See the server's log.", source=source)
