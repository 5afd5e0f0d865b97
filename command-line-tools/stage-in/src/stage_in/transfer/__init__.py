"""Everything between this process and the platform's servers.

One HTTP response, retries, parallel downloads, credentials, and the decision who may see them.
Nothing here depends on what a product is.
"""
