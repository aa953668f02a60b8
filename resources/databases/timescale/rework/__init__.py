"""What is done to stored windows later: gaps filled, rows calibrated or corrected anew, another window length."""
