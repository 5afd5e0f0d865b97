"""Long runs: many products in one process, and many processes side by side."""
