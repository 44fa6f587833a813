"""Put a bill of materials into a wheel: ``sboms/midfill.cdx.json`` in its metadata (PEP 770).

CycloneDX 1.6, for the packages that a plain install has and the models that midfill knows. Run by
``make wheel``, in the environment that ``make setup`` made. The same wheel gives the same bytes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from dependencies import PINS, licence, needed, pins
from packageurl import PackageURL
from wheel.wheelfile import WheelFile

from midfill.weights import registry

FIRST_ZIP_DATE = 315532800
"""Seconds since 1970 of the first day that an archive's dates reach to."""


def sbom(moment: float) -> dict[str, Any]:
    """The document, with that many seconds since 1970 as its date."""
    versions = {**pins(PINS), "midfill": metadata.version("midfill")}
    packages = {name: _package(name, versions[name]) for name in sorted(needed())}
    product = packages["midfill"]
    bom = Bom(
        components=[*(each for each in packages.values() if each is not product), *_models()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(product.purl)),
        metadata=BomMetaData(component=product, timestamp=datetime.fromtimestamp(moment, UTC)),
    )
    for name, named in needed().items():
        bom.register_dependency(packages[name], [packages[each] for each in sorted(named)])
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    return document


def _package(name: str, version: str) -> Component:
    stated = licence(name, metadata.metadata(name))
    assert stated, name
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseExpression(stated)],
    )


def _models() -> list[Component]:
    return [
        Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=each.name,
            bom_ref=f"model:{each.name}",
            description=each.description,
            licenses=[LicenseExpression(each.licence)],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each.sha256)],
        )
        for each in registry.entries()
    ]


def insert(wheel: Path, moment: float) -> None:
    """Write a wheel anew with its bill of materials, its record included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with WheelFile(wheel) as old:
            old.extractall(folder)
            dist_info = folder / old.dist_info_path
        (dist_info / "RECORD").unlink()
        path = dist_info / "sboms" / "midfill.cdx.json"
        path.parent.mkdir()
        path.write_text(json.dumps(sbom(moment), indent=1) + "\n", "utf-8")
        for each in folder.rglob("*"):
            os.utime(each, (moment, moment))
            each.chmod(0o755 if each.is_dir() else 0o644)
        wheel.unlink()
        with WheelFile(wheel, "w") as new:
            new.write_files(folder)


if __name__ == "__main__":
    insert(Path(sys.argv[1]), float(os.environ["SOURCE_DATE_EPOCH"]))
