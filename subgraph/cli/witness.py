"""`ig witness`: cosigns the checkpoints of logs, with its own key and its own memory."""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from subgraph import settings
from subgraph.cli.listening import listen
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.options import KmsOptions
from subgraph.kms.signers import open_signer
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.witness.keys import (
    Cosigner,
    EcdsaCosigner,
    Ed25519Cosigner,
    write_verifiers,
)
from subgraph.ledger.witness.protocol import DEFAULT_NAME, KnownLogs
from subgraph.ledger.witness.server import WitnessServer
from subgraph.ledger.witness.service import Witness
from subgraph.ledger.witness.state import StateFile
from subgraph.telemetry import configure_logging, log_config

STATE = "state"
"""The name of the memory in the folder of `witness_command`."""

_HEARD = (
    "IG_DATA_DIR",
    "IG_AWS_KMS_ENDPOINT",
    "IG_AZURE_VAULT_HOSTS",
    "IG_GCP_KMS_ENDPOINT",
    "IG_OPENBAO_TOKEN_FILE",
    "IG_OPENBAO_URL",
)
"""The settings that it reads; the service's others mean nothing here."""

_DRAIN_SECONDS = 5
_MOST_AT_ONCE = 200


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--listen", metavar="HOST:PORT", type=_endpoint)
    place.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--state", required=True, metavar="FILE", type=Path,
        help="what was cosigned; outside the data folder of the service",
    )  # fmt: skip
    parser.add_argument(
        "--key", required=True, metavar="FILE|URI",
        help="the witness's own key: PKCS#8 PEM, or a file:, pkcs11:, aws:, openbao:, gcp: or"
        " azure: address",
    )  # fmt: skip
    parser.add_argument(
        "--log", required=True, action="append", type=_log, metavar="ORIGIN=FILE", dest="logs",
        help="a log and the PEM of its public key; repeat it for more logs, or more keys of one."
        " An origin that ends in /* stands for all logs one step below",
    )  # fmt: skip
    parser.add_argument(
        "--name", default=DEFAULT_NAME, help=f"name of its key (default: {DEFAULT_NAME})"
    )
    parser.add_argument(
        "--ed25519-key", type=Path, metavar="FILE",
        help="a second key, for cosignatures as c2sp.org/tlog-cosignature has them",
    )  # fmt: skip
    parser.add_argument(
        "--verifiers", type=Path, metavar="FILE",
        help="write here what the service and auditors verify the cosignatures with",
    )  # fmt: skip
    parser.add_argument(
        "--init", action="store_true",
        help="make the key file and the state file if they are missing: for a first start only,"
        " because a witness without its memory would cosign any past",
    )  # fmt: skip
    parser.set_defaults(run=_run, asynchronous=False)


def witness_command(
    *, listen_fd: int, folder: Path, verifiers: Path, logs: Mapping[str, Path]
) -> list[str]:
    """The command that runs a witness on this machine, which makes its keys and its memory.

    `listen_fd` is a listening socket that the command inherits. `folder` is the witness's own,
    outside the data folder. `logs` are the origins, with the files of their public keys.
    `verifiers` is written before the first answer.
    """
    command = [sys.executable, "-m", "subgraph.cli.main", "witness", "--init"]
    command += ["--listen-fd", str(listen_fd), "--verifiers", str(verifiers)]
    command += ["--state", str(folder / STATE)]
    command += ["--key", str(folder / "p256.pem"), "--ed25519-key", str(folder / "ed25519.pem")]
    for origin, file in logs.items():
        command += ["--log", f"{origin}={file}"]
    return command


def _run(parsed: argparse.Namespace) -> int:
    configured = settings.load(
        {name: value for name, value in os.environ.items() if name in _HEARD}
    )
    _refuse_data_folder(parsed.state, configured.data_path)
    configure_logging("INFO")
    return asyncio.run(_serve(parsed, KmsOptions.of(configured)))


async def _serve(parsed: argparse.Namespace, options: KmsOptions) -> int:
    logs: dict[str, list[PublicKey]] = {}
    for origin, key in parsed.logs:
        logs.setdefault(origin, []).append(key)
    uri = parsed.key if ":" in parsed.key else f"file:{Path(parsed.key).absolute()}"
    signer = await open_signer(uri, create=parsed.init, options=options)
    state = StateFile.open(parsed.state.absolute(), create=parsed.init)
    try:
        cosigners: list[Cosigner] = [EcdsaCosigner(parsed.name, signer)]
        if parsed.ed25519_key is not None:
            path = parsed.ed25519_key.absolute()
            cosigners.append(Ed25519Cosigner.open(parsed.name, path, create=parsed.init))
        told = write_verifiers([cosigner.verifier for cosigner in cosigners])
        if parsed.verifiers is not None:
            _write(parsed.verifiers, told)
        witness = Witness(cosigners, KnownLogs(logs), state)
        with _listener(parsed) as listener:
            config = uvicorn.Config(
                WitnessServer(witness), lifespan="off", ws="none", access_log=False,
                server_header=False, log_config=log_config("INFO"),
                limit_concurrency=_MOST_AT_ONCE, timeout_graceful_shutdown=_DRAIN_SECONDS,
            )  # fmt: skip
            print(told, end="", flush=True)
            await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        state.close()
        await signer.close()
    return 0


def _listener(parsed: argparse.Namespace) -> socket.socket:
    if parsed.listen_fd is not None:
        return socket.socket(fileno=parsed.listen_fd)
    host, number = parsed.listen
    return listen(host, number)


def _refuse_data_folder(state: Path, folder: Path) -> None:
    if state.resolve().is_relative_to(folder.resolve()):
        message = (
            f"--state {state} is in the data folder {folder}: a backup that is restored would"
            " restore the witness's memory with it"
        )
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        message = f"--verifiers {path}: {error.strerror}"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None


def _endpoint(text: str) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    if not host or not number.isascii() or not number.isdecimal() or int(number) > 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"not HOST:PORT: {text}")
    return host.removeprefix("[").removesuffix("]"), int(number)


def _log(text: str) -> tuple[str, PublicKey]:
    origin, _, file = text.partition("=")
    if not origin or not file:
        raise argparse.ArgumentTypeError(f"not ORIGIN=FILE: {text}")
    try:
        return origin, PublicKey.from_pem(Path(file).read_bytes())
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: {error.strerror}") from None
    except VerificationFailed as failure:
        raise argparse.ArgumentTypeError(f"{file}: {failure.reason}") from None
