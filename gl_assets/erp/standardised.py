"""What the records of a system become: standard rows, what is wrong with them, and those that no longer count."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Standardised:
    """Rows by a common index; `problems` lists per row what was found wrong, `withdrawn` marks reversed records."""

    rows: pd.DataFrame
    problems: pd.Series
    withdrawn: pd.Series
