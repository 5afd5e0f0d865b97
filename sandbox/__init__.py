"""An imitation of the Copernicus Data Space, with synthetic products, for tests."""
