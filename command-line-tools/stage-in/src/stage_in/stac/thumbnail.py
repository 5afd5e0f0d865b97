"""The thumbnail of a product: a small true colour picture in PNG."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stage_in.errors import ProductError
from stage_in.logger import logger
from stage_in.safe.images import Images, LimitError

THUMBNAIL = "thumbnail.png"
MEDIA_TYPE = "image/png"
SIZE = 343  # pixels of the longer side: the size of the preview image of a full tile


@dataclass(frozen=True)
class Thumbnail:
    """A small picture in true colours, transparent where there are no data.

    Attributes:
        content: a PNG with red, green, blue and alpha; the same image gives the same bytes.
        shape: rows and columns.
    """

    content: bytes
    shape: tuple[int, int]

    @classmethod
    def make(cls, safe: Path, paths: Iterable[str], images: Images) -> Self:
        """Make a thumbnail of the first true colour image that can be read.

        Args:
            safe: the SAFE folder.
            paths: the paths of true colour images below it.
            images: reads them.

        Raises:
            ProductError: none of them can be read, or reading one takes too much memory or time.
        """
        failures = []
        for path in paths:
            try:
                return cls(*images.draw_picture(safe / path, path, SIZE))
            except LimitError:
                raise
            except ProductError as error:
                logger.warning("Can't make the thumbnail from this image: {}", error)
                failures.append(str(error))
        raise ProductError(f"the true colour image can't be used: {'; '.join(failures)}")
