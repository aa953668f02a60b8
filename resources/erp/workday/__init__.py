"""Workday: WQL, REST, custom reports and SOAP, read by business day, as a whole, and by what changed."""
