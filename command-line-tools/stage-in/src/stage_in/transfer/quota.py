"""What the platform grants a user, for all jobs together (CDSE documentation, Quotas)."""

CONNECTIONS = 4  # downloads at once
RATE = 20e6  # bytes/s of each of them
