"""Names of all custom call metadata (wire contract §5.1) and of our own additions.

Upstream's keys are contract; keys that start with ``flwr-compose-`` are ours, and a peer that does
not know them ignores them.
"""

from typing import Final

# SuperNode -> Fleet: the node's signature (§5.2).
PUBLIC_KEY: Final = "flwr-public-key-bin"
TIMESTAMP: Final = "flwr-timestamp"
SIGNATURE: Final = "flwr-signature-bin"

# App process -> AppIo (§5.4).
APP_TOKEN: Final = "flwr-app-token"  # noqa: S105  (the name of a key)

# SuperExec -> AppIo (§5.4).
SUPEREXEC_TIMESTAMP: Final = "flwr-superexec-ts"
SUPEREXEC_NONCE: Final = "flwr-superexec-nonce"
SUPEREXEC_BODY_SHA256: Final = "flwr-superexec-body-sha256"
SUPEREXEC_SIGNATURE: Final = "flwr-superexec-signature"

# CLI -> Control (§5.5).
OIDC_ACCESS_TOKEN: Final = "flwr-oidc-access-token"  # noqa: S105  (the name of a key)
OIDC_REFRESH_TOKEN: Final = "flwr-oidc-refresh-token"  # noqa: S105  (the name of a key)

# Peers from 1.30 on say what they are.
PACKAGE_NAME: Final = "flwr-package-name"
PACKAGE_VERSION: Final = "flwr-package-version"
COMPONENT_NAME: Final = "flwr-component-name"

# Ours.
VERSION: Final = "flwr-compose-version"
"""Release of the caller."""

WAIT: Final = "flwr-compose-wait"
"""ServerAppIo.PullMessages: hold the call until any or all (the default) replies are there."""
WAIT_ANY: Final = "any"
WAIT_ALL: Final = "all"
WAIT_NO: Final = "no"
"""Answer at once with what is there."""

ACTIVE_RUNS: Final = "flwr-compose-active-runs"
"""Fleet.PullMessages: ids of the runs the node holds something of, decimal, joined with commas."""

ENDED_RUNS: Final = "flwr-compose-ended-runs"
"""Trailer of the same call: which of them have ended."""

HEARTBEAT_S: Final = "flwr-compose-heartbeat-s"
"""SendAppHeartbeat: seconds until the next heartbeat."""

SUBMIT_KEY: Final = "flwr-compose-submit-key"
"""Control.StartRun: the same key of the same account names the same run."""

DURABLE: Final = "flwr-compose-durable"
"""Fleet.ActivateNode and PullMessages: ``1`` if the node keeps what it confirmed over a restart."""

KIND: Final = "flwr-compose-kind"
"""Trailer of a failed call: the ``ErrorKind``, which is finer than the status code."""

HINT: Final = "flwr-compose-hint-bin"
"""Trailer of a failed call: what a person can do about it, UTF-8."""
