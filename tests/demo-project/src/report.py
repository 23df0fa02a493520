"""Says where it runs and what it finds, and leaves a file as proof."""

import json
import os
import pathlib
import sys

prefix = pathlib.Path(sys.prefix)
facts = {
    "python": sys.version.split()[0],
    "prefix": str(prefix),
    "files in the environment": sum(1 for path in prefix.rglob("*") if path.is_file()),
    "resources": sorted(os.listdir(os.environ["PRODUCT_RES_DIR"])),
}
print(json.dumps(facts, indent=2))

out = pathlib.Path(os.environ["VERIFY_OUT_DIR"])
(out / "report.json").write_text(json.dumps(facts))
print("report: ok")
