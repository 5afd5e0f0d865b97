"""An imitation of the Copernicus Data Space on 127.0.0.1, with synthetic products, for tests."""
