"""The footprint of a product in degrees."""

from functools import lru_cache

from pyproj import Transformer

from sandbox.recipe import Recipe


def footprint_text(recipe: Recipe) -> str:
    """Write the footprint as a closed ring of "latitude longitude" in degrees (WGS 84)."""
    return " ".join(
        f"{latitude:.12f} {longitude:.12f}" for latitude, longitude in footprint(recipe)
    )


@lru_cache
def footprint(recipe: Recipe) -> tuple[tuple[float, float], ...]:
    """Compute the footprint.

    Returns:
        A closed ring of latitude and longitude in degrees (WGS 84). Longitudes are from -180 to
        180 and jump at the antimeridian.
    """
    to_degrees = Transformer.from_crs(recipe.place.epsg, 4326)
    return tuple(to_degrees.transform(x, y) for x, y in recipe.outline)


def bounds(recipe: Recipe) -> tuple[str, str, str, str]:
    """Write west, south, east, north in degrees; west > east if it crosses the antimeridian."""
    latitudes, longitudes = zip(*footprint(recipe), strict=True)
    west, east = min(longitudes), max(longitudes)
    if east - west > 180:
        west = min(value for value in longitudes if value > 0)
        east = max(value for value in longitudes if value < 0)
    return (f"{west:.6f}", f"{min(latitudes):.6f}", f"{east:.6f}", f"{max(latitudes):.6f}")
