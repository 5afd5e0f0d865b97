"""What staging a product costs, against what users do today: `python -m benchmarks`."""
