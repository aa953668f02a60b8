"""A fake Oracle ERP Cloud (Fusion REST) with the plant's meters, work orders, assets and journals."""
