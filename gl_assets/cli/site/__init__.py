"""Commands on the plant and its systems: configuration, doctor, tags, units, ERP, certificates, writes."""
