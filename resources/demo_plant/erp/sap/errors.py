"""Errors as SAP words them: OData V4, OData V2 and XML, plain or with details within."""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.sax.saxutils import escape

from starlette.responses import Response

_DETAILS = (
    ("GL_MSG/021", "Posting period 11/2026 is not open", "/PostingDate"),
    ("GL_MSG/022", "Cost center 4711 is locked for postings", "/CostCenter"),
)


def error(
    version: int, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, deep: bool = False
) -> Response:
    """Return an error of the version; `deep` gives it details."""
    inner: dict[str, object] = {"transactionid": "0"}
    if version == 4:
        named = {"OData-Version": "4.0"}
        body: dict[str, object] = {"code": code, "message": message, "details": [], "innererror": inner}
        if deep:
            body["target"] = "/PostingDate"
            body["details"] = [
                {"code": one, "message": text, "target": target, "@Common.numericSeverity": 4}
                for one, text, target in _DETAILS
            ]
    else:
        named = {"DataServiceVersion": "1.0"}
        if deep:
            inner["errordetails"] = [
                {"code": one, "message": text, "propertyref": target, "severity": "error"}
                for one, text, target in _DETAILS
            ]
        body = {"code": code, "message": {"lang": "en", "value": message}, "innererror": inner}
    return Response(json.dumps({"error": body}), status, {**named, **(headers or {})}, "application/json")


def xml_error(status: int, code: str, message: str) -> Response:
    """Return an error as a service words it that was not asked for JSON, or that fails before it looks."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?><error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/'
        f'metadata"><code>{escape(code)}</code><message xml:lang="en">{escape(message)}</message>'
        "<innererror><errordetails><errordetail><code>GL_MSG/021</code><message>Posting period 11/2026 is not open"
        "</message><severity>error</severity></errordetail></errordetails></innererror></error>"
    )
    return Response(body, status, media_type="application/xml")
