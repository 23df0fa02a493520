"""Says what is wrong with each bill of materials that is named, a line each."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

validator = JsonStrictValidator(SchemaVersion.V1_6)
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        text = file.read()
    for error in validator.validate_str(text, all_errors=True) or []:
        print(f"{name}: {str(error.data)[:400]}")
    bill = json.loads(text)
    references = {bill["metadata"]["component"]["bom-ref"]}
    for component in bill["components"]:
        references.add(component["bom-ref"])
        url = PackageURL.from_string(component["purl"])
        # As its own library writes it: one spelling for each package.
        if url.to_string() != component["purl"]:
            print(f"{name}: {component['purl']} should be {url.to_string()}")
    if len(references) != len(bill["components"]) + 1:
        print(f"{name}: two components have one bom-ref")
    for dependency in bill["dependencies"]:
        for reference in [dependency["ref"], *dependency.get("dependsOn", [])]:
            if reference not in references:
                print(f"{name}: {reference} is no component")
