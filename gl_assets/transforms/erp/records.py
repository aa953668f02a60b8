"""The records of one system on their way to standard rows: what the steps of a mapping share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pandera.pandas import DataFrameSchema

from gl_assets.transforms.erp.facts import SystemFacts
from gl_assets.transforms.erp.fields import FieldReader
from gl_assets.transforms.erp.problems import Problems
from gl_assets.transforms.erp.rules import RuleReader
from gl_assets.transforms.values.times import Mask
from resources.erp.declared import DatasetConfig


@dataclass
class Records:
    """Records of one dataset, and the fields read of them so far."""

    dataset: DatasetConfig
    schema: DataFrameSchema
    facts: SystemFacts
    reader: RuleReader
    fields: FieldReader
    problems: Problems
    values: dict[str, pa.Array] = field(default_factory=dict)
    """Column of the table -> its values, as the steps find them."""
    withdrawn: Mask = field(default_factory=lambda: np.zeros(0, bool))
    """True for records that no longer count."""

    @property
    def rows(self) -> int:
        """How many records there are."""
        return self.reader.rows
