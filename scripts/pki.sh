#!/bin/sh
# Make and check certificates: by the certs image where there is one, which can hand each key to the
# group that containers read it by, else by certs/pki.py itself.  Arguments: see `scripts/pki.sh --help`.
set -eu
cd "$(dirname "$0")/.."
image="${FLWR_CERTS_IMAGE:-flwr-compose/certs:0.1.0}"
folder="${FLWR_CERTS_DIR:-.state/certs}"
if docker image inspect "$image" >/dev/null 2>&1; then
    mkdir -p "$folder"
    exec docker run --rm --network none --read-only --cap-drop ALL \
        --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
        --volume "$(cd "$folder" && pwd):/certs" "$image" "$@"
fi
[ -e .venv/.complete ] || make --no-print-directory setup
FLWR_CERTS_DIR="$folder" exec .venv/bin/python certs/pki.py "$@"
