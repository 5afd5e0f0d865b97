"""A product's zip in chunks of 8 KiB, then unpacked: the way that tutorials show.

Run as a script, in the folder that is to hold the product, with the item's URL as its argument.
"""

import os
import sys
from zipfile import ZipFile

import requests

item = requests.get(sys.argv[1]).json()
headers = {"Authorization": f"Bearer {os.environ['CDSE_ACCESS_TOKEN']}"}
response = requests.get(item["assets"]["Product"]["href"], headers=headers, stream=True)
with open("product.zip", "wb") as file:  # noqa: PTH123 (plainly, as people write it)
    for chunk in response.iter_content(chunk_size=8192):
        file.write(chunk)
with ZipFile("product.zip") as archive:
    archive.extractall()
