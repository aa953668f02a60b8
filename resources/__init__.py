"""How the outside world is reached: plain Python inside, a thin Dagster resource at each edge."""
