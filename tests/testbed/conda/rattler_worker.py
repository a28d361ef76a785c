"""Solves and links conda packages for conda.py, in a Python that rattler runs in."""

import asyncio
import json
import pathlib
import sys

from rattler import Channel, MatchSpec, PrefixRecord, VirtualPackage, install, solve


async def main() -> None:
    asked = json.load(sys.stdin)
    prefix = pathlib.Path(asked["prefix"])
    there = [PrefixRecord.from_path(path) for path in prefix.glob("conda-meta/*.json")]
    names = {MatchSpec(spec).name.normalized for spec in asked["specs"]}
    records = await solve(
        sources=[Channel(channel) for channel in asked["channels"]],
        specs=[MatchSpec(spec) for spec in asked["specs"]],
        platforms=["linux-64", "noarch"],
        locked_packages=there,
        pinned_packages=[one for one in there if asked["frozen"] and one.name.normalized not in names],
        virtual_packages=VirtualPackage.detect(),
    )
    kept = {one.name.normalized for one in records}
    await install(
        records=[*records, *(one for one in there if one.name.normalized not in kept)],
        target_prefix=str(prefix),
        cache_dir=str(prefix / "pkgs"),
        show_progress=False,
    )
    for record in records:
        print(f"  {record.name.normalized}-{record.version}-{record.build}")


asyncio.run(main())
