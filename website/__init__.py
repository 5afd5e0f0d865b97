"""The documentation as a site: the generated parts of its pages, its settings, and its check."""
