"""The documentation as a site: pages put together, diagrams generated, the result looked at."""
