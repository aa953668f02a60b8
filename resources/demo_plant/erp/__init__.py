"""ERP systems of the demo plant: fakes that speak the real protocols, one folder a system."""
