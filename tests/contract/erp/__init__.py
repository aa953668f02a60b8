"""One suite that every ERP connector passes; a kind joins by a module `<kind>_rig.py` with a class `Rig`."""
