"""A fake Workday: OAuth, REST, WQL, custom reports (RaaS) and SOAP over one invented company."""
