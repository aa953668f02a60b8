"""What is known of how good stored rows are: facts, scores, forecasts, results of gates."""
