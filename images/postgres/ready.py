"""Ask the server whether it takes connections, as a user that it knows: it logs all others."""

import os

user = os.environ.get("POSTGRES_USER") or "postgres"
database = os.environ.get("POSTGRES_DB") or user
os.execvp(  # noqa: S606  no shell is in the way
    "pg_isready", ["pg_isready", "--quiet", f"--username={user}", f"--dbname={database}"]
)
