"""Everything between this process and the platform's servers.

One HTTP response, retries, parallel downloads, credentials, and the decision who may see them.
Nothing here knows what a product is.
"""
