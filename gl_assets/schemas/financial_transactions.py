"""`erp.financial_transactions`: general ledger entries and journals. One row per line of a journal."""

from __future__ import annotations

from pandera.pandas import Check, DataFrameSchema

from gl_assets.schemas.erp_columns import amount, currency, day, erp_columns, identifier, text

FINANCIAL_TRANSACTIONS = DataFrameSchema(
    erp_columns(
        {
            "transaction_id": identifier("Number of the journal or voucher"),
            "line": text("Number of the line in it", weight=0.2),
            "account": text("Account of the general ledger", weight=0.4),
            "amount": amount("Amount: debit positive, credit negative, so that a journal sums to 0", required=True),
            "currency": currency("Currency of the amount, ISO 4217", required=True),
            "debit_credit": text(
                "debit or credit; a reversal may be negative on the debit side",
                required=True,
                check=Check.isin(["debit", "credit"], error="the side must be debit or credit"),
            ),
            "posting_date": day("Date of posting: the business day, in the system's own zone", required=True),
            "cost_center": text("Cost center", weight=0.2),
            "description": text("Text of the line", weight=0.2),
        }
    ),
    strict="filter",
)
"""Columns, types and rules; a row that breaks a rule is rejected with the rule's words."""
