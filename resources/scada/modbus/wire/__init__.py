"""Modbus on the wire: requests and answers (`pdu`), their frames (`framing`), sockets and serial lines (`link`)."""
