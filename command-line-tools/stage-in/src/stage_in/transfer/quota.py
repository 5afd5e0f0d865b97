"""What the platform grants to one user, over all jobs (CDSE documentation, Quotas)."""

MAX_CONNECTIONS = 4  # parallel downloads
MAX_OTHER_CONNECTIONS = 32  # to an S3 endpoint that the user names, which has its own quota
RATE = 20e6  # bytes/s of one download
