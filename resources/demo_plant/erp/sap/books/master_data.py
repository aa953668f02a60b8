"""Cost centers and materials of the demo plant; cost centers have periods of validity, texts have languages."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

from resources.demo_plant.erp.sap.books.book import Book, Document, instant_text
from resources.demo_plant.erp.sap.books.production import PRODUCTS

OPEN_END = "9999-12-31"
_COST_CENTERS = (
    ("4711", "Boiler house", "Kesselhaus", "Meier"),
    ("4712", "Furnace line", "Ofenlinie", "Schulz"),
    ("4713", "Maintenance", "Instandhaltung", "Weber"),
    ("4714", "Water treatment", "Wasseraufbereitung", "Ahmed"),
    ("ENERGY", "Energy management", "Energiemanagement", "O'Neil"),
)
_REORGANISED = date(2026, 1, 1)
_MATERIALS = (
    ("GAS-NAT", "Natural gas", "Erdgas", "M3", "ENERGY"),
    ("CHEM-NAOH", "Caustic soda 50 %", "Natronlauge 50 %", "KG", "CHEM"),
    ("FIREBRICK", 'Firebrick 9" × 4½"', "Schamottestein 9 × 4½ Zoll", "ST", "SPARE"),
    ("WATER-FEED", "Feed water, de-ionised", "Speisewasser, vollentsalzt", "M3", "ENERGY"),
    ("STEAM-HP", "Steam 40 bar", "Dampf 40 bar", "TO", "ENERGY"),
    ("STEAM-LP", "Steam 8 bar", "Dampf 8 bar", "TO", "ENERGY"),
    ("HEAT-TREATED-BAR", "Bar, heat-treated", "Stange, vergütet", "KG", "FINISHED"),
    ("100200", "Forged ring", "Schmiedering", "ST", "FINISHED"),
)
assert {product.material for product in PRODUCTS} <= {material[0] for material in _MATERIALS}


class CostCenterBook(Book):
    """Cost centers by validity: those of the old organisation ended with 2025, and one key may have two periods."""

    key = ("ControllingArea", "CostCenter", "ValidityEndDate")

    def generated(self, day: date) -> list[Document]:
        """Return all periods of all cost centers."""
        del day
        periods = []
        for number, name, german, responsible in _COST_CENTERS:
            periods.append(self._period(number, (name, german), responsible, (_REORGANISED.isoformat(), OPEN_END)))
            if number in ("4711", "4712"):
                old = (f"{name} (old)", f"{german} (alt)")
                periods.append(self._period(number, old, "Predecessor", ("2020-01-01", "2025-12-31")))
        return periods

    def _period(self, number: str, names: tuple[str, str], responsible: str, valid: tuple[str, str]) -> Document:
        key = {"ControllingArea": "A000", "CostCenter": number, "ValidityEndDate": valid[1]}
        return {
            **key,
            "ValidityStartDate": valid[0],
            "CompanyCode": "1000",
            "BusinessArea": "",
            "ProfitCenter": "PC100",
            "CostCenterCategory": "1",
            "CostCenterStandardHierArea": "H1",
            "CostCtrResponsiblePersonName": responsible,
            "CostCenterCurrency": "EUR",
            "ConsumptionQtyIsRecorded": False,
            "texts": [
                {
                    **key,
                    "Language": language,
                    "ValidityStartDate": valid[0],
                    "CostCenterName": name[:20],
                    "CostCenterDescription": name,
                }
                for language, name in zip(("EN", "DE"), names, strict=True)
            ],
        }


class MaterialBook(Book):
    """The material master; FIREBRICK has no English text, which a reader has to live with."""

    key = ("Product",)

    def generated(self, day: date) -> list[Document]:
        """Return all materials."""
        del day
        return [self._material(index, *material) for index, material in enumerate(_MATERIALS)]

    def _material(self, index: int, product: str, english: str, german: str, unit: str, group: str) -> Document:
        created = date(2024, 1, 2 + index)
        texts = [("DE", german)] if product == "FIREBRICK" else [("DE", german), ("EN", english)]
        return {
            "Product": product,
            "ProductType": "FERT" if group == "FINISHED" else "ROH",
            "BaseUnit": unit,
            "ProductGroup": group,
            "GrossWeight": Decimal("1.000"),
            "NetWeight": Decimal("1.000"),
            "WeightUnit": "KG",
            "CreationDate": created.isoformat(),
            "LastChangeDate": created.isoformat(),
            "LastChangeDateTime": instant_text(datetime.combine(created, time(12), self.zone)),
            "IsMarkedForDeletion": False,
            "texts": [
                {"Product": product, "Language": language, "ProductDescription": text} for language, text in texts
            ],
        }
