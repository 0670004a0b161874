"""The regions that a tenant, a data set or an export can name.

The list is `regions.json`, generated from the region lists that cloud SDKs ship; see
`docs/regions.md` for its sources and for what a jurisdiction is.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Region:
    """A place where a provider runs data centres.

    `code` is `<provider>:<the provider's own region id>`. `jurisdiction` is the ISO 3166-1 alpha-2
    code of the country that the site stands in.
    """

    code: str
    provider: str
    jurisdiction: str
    display_name: str


class RegionRegistry:
    """Every known region, by code."""

    __slots__ = ("_by_code",)

    def __init__(self, regions: Iterable[Region]) -> None:
        self._by_code: dict[str, Region] = {}
        for region in sorted(regions, key=lambda region: region.code):
            if region.code in self._by_code:
                raise ValueError(f"region {region.code} is listed twice")
            self._by_code[region.code] = region

    @classmethod
    def load(cls) -> "RegionRegistry":
        """Read the registry of this release; the caller keeps the result."""
        text = resources.files(__package__).joinpath("regions.json").read_text(encoding="utf-8")
        return cls(
            Region(
                code=entry["code"],
                provider=entry["provider"],
                jurisdiction=entry["jurisdiction"],
                display_name=entry["displayName"],
            )
            for entry in json.loads(text)["regions"]
        )

    def get(self, code: str) -> Region | None:
        """The region with exactly this code, or none."""
        return self._by_code.get(code)

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code, sorted."""
        return tuple(self._by_code)

    def __iter__(self) -> Iterator[Region]:
        """The regions, sorted by code."""
        return iter(self._by_code.values())

    def __len__(self) -> int:
        return len(self._by_code)
