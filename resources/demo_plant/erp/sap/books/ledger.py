"""Journal entry items of the demo plant: two balanced documents a day, as the operational view of FI shows them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

from resources.demo_plant.erp.sap.books.book import Book, Document

PER_DAY = 2
_ORIGIN = date(2024, 1, 1).toordinal()
_COSTS = (("65100000", "4711", "Natural gas"), ("65200000", "4712", "Electricity"), ("65300000", "4713", "Repairs"))


class JournalBook(Book):
    """Items by posting date: debits on cost centers, one credit to the supplier; credits are negative."""

    key = ("CompanyCode", "FiscalYear", "AccountingDocument", "AccountingDocumentItem")
    day_property = "PostingDate"

    def generated(self, day: date) -> list[Document]:
        """Return the items posted on a day."""
        items: list[Document] = []
        for index in range(PER_DAY):
            if datetime.combine(day, time(10 + 6 * index), self.zone) <= self.clock.now():
                items += self._document(day, index)
        return items

    def _document(self, day: date, index: int) -> list[Document]:
        number = str(1_900_000_000 + (day.toordinal() - _ORIGIN) * PER_DAY + index)
        debits = [
            (account, center, text, self.amount(100, 9000, number, account))
            for account, center, text in _COSTS[: 2 + index]
        ]
        total = sum((amount for *_, amount in debits), Decimal(0))
        lines = [*debits, ("21100000", "", "Supplier invoice", -total)]
        return [
            {
                "CompanyCode": "1000",
                "FiscalYear": str(day.year),
                "AccountingDocument": number,
                "AccountingDocumentItem": f"{position:03d}",
                "AccountingDocumentType": "KR",
                "PostingDate": day.isoformat(),
                "DocumentDate": day.isoformat(),
                "AccountingDocumentCreationDate": day.isoformat(),
                "GLAccount": account,
                "DebitCreditCode": "H" if amount < 0 else "S",
                "AmountInCompanyCodeCurrency": amount,
                "CompanyCodeCurrency": "EUR",
                "AmountInTransactionCurrency": amount,
                "TransactionCurrency": "EUR",
                "ControllingArea": "A000",
                "CostCenter": center,
                "DocumentItemText": text,
            }
            for position, (account, center, text, amount) in enumerate(lines, start=1)
        ]
