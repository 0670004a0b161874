"""How a tenant names a key of AWS KMS: by its full ARN."""

import re
from dataclasses import dataclass
from typing import Final, Self

from subgraph.kms.faults import KeyFault, KeyProviderError

# No alias: its owner could point it at another key, and ciphertexts would fail for no reason.
_ARN: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]{2,8}){0,2}):kms:(?P<region>[a-z]{2,4}(?:-[a-z]{2,10}){1,2}-[0-9])"
    r":(?P<account>[0-9]{12})"
    r":key/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
)


@dataclass(frozen=True, slots=True)
class AwsKeyArn:
    """The ARN of one key, and what it says: partition, region and account.

    A key id that begins with `mrk-` is of a multi-Region key, whose material other regions hold
    too; a replica's ARN names the replica's region.
    """

    text: str
    partition: str
    region: str
    account: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`; CONFIG for anything else."""
        found = _ARN.fullmatch(text)
        if found is None:
            message = "a key of AWS KMS is named by its ARN: arn:aws:kms:REGION:ACCOUNT:key/ID"
            raise KeyProviderError(KeyFault.CONFIG, message)
        return cls(text, found["partition"], found["region"], found["account"])
