#!/bin/sh
# Stage a product from the sandbox through cwltool. `make demo` runs this.
set -eu

. sandbox/serve.sh

rm -rf demo/catalog
serve demo --rate 0.5

write_order demo/params.yml

echo "cwltool --no-container stage-in.cwl demo/params.yml"
cwltool --no-container --preserve-environment CDSE_TRUSTED_HOSTS \
  --outdir demo stage-in.cwl demo/params.yml > demo/output.json

echo
echo "The catalog, in demo/catalog:"
python - << 'END'
from pathlib import Path

import pystac

catalog = pystac.Catalog.from_file("demo/catalog/catalog.json")
for item in catalog.get_items(recursive=True):
    folder = Path(item.get_self_href()).parent.relative_to(Path.cwd())
    size = sum(path.stat().st_size for path in Path("demo/catalog").rglob("*") if path.is_file())
    print(f"  item {item.id}\n  {item.datetime:%Y-%m-%d %H:%M} UTC, {size / 1e6:.1f} MB")
    shown = {"data", "visual", "overview", "thumbnail"}
    for key, asset in item.assets.items():
        if shown & set(asset.roles or []):
            print(f"  {key:12} {', '.join(asset.roles):18} …/{Path(asset.href).name}")
    others = sum(not shown & set(asset.roles or []) for asset in item.assets.values())
    print(f"  and {others} more: masks, quality reports, metadata")
    print(f"\nLook at its thumbnail:\n  {folder}/thumbnail.png")
END
cat << END

What to do next:
  make demo-classification   stage a product and map its land cover
  docs/start.md              stage a product with your account of the Copernicus Data Space
  docs/sandbox.md            test your own client against the sandbox
END
