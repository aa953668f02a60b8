"""Units and what they measure: UCUM, the spellings of plants, gas volumes, steam. No configuration."""
