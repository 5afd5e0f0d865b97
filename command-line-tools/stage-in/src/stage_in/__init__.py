"""Stage Sentinel-2 Level-1C products from the Copernicus Data Space Ecosystem."""
