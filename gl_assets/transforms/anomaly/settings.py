"""What a detector can be told: few figures, the same for every equipment, none of them found by trying on labels."""

from __future__ import annotations

from dataclasses import dataclass

from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Parameters of the multivariate detector; docs/how-to/anomalies.md says what each changes and by how much."""

    smoothing_rows: int = 10
    """Rows of the trailing mean: small lasting shifts rise above the noise, single outliers sink into it."""
    slow_share: float = 0.3
    """A sensor whose variance lies to this share between blocks wanders: what it wandered to in training says nothing
    about where it will be later."""
    blocks: int = 10
    """Blocks of the training rows that wandering is judged by."""
    shrinkage: float = 0.1
    """How far correlations are drawn towards none: bounds what two sensors that move alike can do together."""
    folds: int = 5
    """Parts of the training rows that are held out, one after the other, to learn how far normal rows deviate."""
    confidence: float = 0.99
    """Quantile of the held-out statistic that is the limit."""

    def __post_init__(self) -> None:
        """Refuse what no detector can be made of."""
        shares = 0 < self.slow_share <= 1 and 0 <= self.shrinkage < 1 and 0 < self.confidence < 1
        if not shares or self.smoothing_rows < 1 or self.blocks < 2 or self.folds < 2:
            raise DataError(
                f"detector settings {self}: smoothing_rows is at least 1, blocks and folds 2, slow_share in (0, 1], "
                "shrinkage in [0, 1), confidence in (0, 1)"
            )

    @property
    def memory_rows(self) -> int:
        """Rows that wandering sensors are compared with: several of the means that are compared."""
        return 10 * self.smoothing_rows

    @property
    def least_rows(self) -> int:
        """Fewest training rows: a fold then still holds four independent smoothed rows."""
        return 4 * self.smoothing_rows * self.folds
