"""SAP measurement documents as rows of `erp.energy_consumption`."""

from collections.abc import Sequence

import pandas as pd

from gl_assets.erp.standardised import Standardised
from gl_assets.transforms.erp_energy import MeterFacts, SystemFacts, standard_energy
from resources.erp.sap.codec import documents_table
from resources.erp.sap.config import SapConfig
from resources.erp.standard import LandedRecord


def sap_energy(landed: Sequence[LandedRecord], system: str, config: SapConfig) -> Standardised:
    """Return landed measurement documents as standard rows, in the order given."""
    table = documents_table([record.raw for record in landed], config)
    documents = table.to_pandas(types_mapper=pd.ArrowDtype)
    for name in ("source_key", "changed_at", "ingested_at"):
        documents[name] = [getattr(record, name) for record in landed]
    meters = {
        point: MeterFacts(meter.energy_type, meter.plant_code, meter.location_code, meter.cost_center, meter.interval)
        for point, meter in config.meters.items()
    }
    rows = standard_energy(documents, SystemFacts(system, config.company, config.time_zone, meters))
    return Standardised(rows, documents["problems"], documents["is_reversed"].astype("bool"))
