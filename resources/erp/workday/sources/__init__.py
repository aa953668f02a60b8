"""How a tenant's records are read: one source for each protocol, and what only SOAP needs (WSDL, XML as JSON).

What is done with the records, whatever the protocol (exploding, reducing, landing), does not belong here.
"""
