"""What the platform grants to one user, over all jobs (CDSE documentation, Quotas)."""

MAX_CONNECTIONS = 4  # parallel downloads
RATE = 20e6  # bytes/s of one download
