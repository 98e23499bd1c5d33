#!/bin/sh
# Copies what must not be lost into FOLDER/YYYYmmddTHHMMSSZ: the database as it is at one moment, models, reports, conf.
# The home is left out on purpose: 'dosvotos home export' writes it, and it belongs elsewhere (docs/operations.md).
set -eu
[ $# -eq 1 ] || { echo "usage: deploy/backup.sh FOLDER   (in the project's folder)" >&2; exit 2; }
[ -f pyproject.toml ] && [ -d data ] || { echo "run it in the project's folder" >&2; exit 2; }
umask 077
into="$1/$(date -u +%Y%m%dT%H%M%SZ)"
mkdir -p "$into.part"
case "${DOSVOTOS_DATABASE_URL:-sqlite:///data/dosvotos.db}" in
    sqlite:///*)
        file="${DOSVOTOS_DATABASE_URL:-sqlite:///data/dosvotos.db}"
        file="${file#sqlite:///}"
        [ -f "$file" ] || { echo "$file is not there" >&2; exit 1; }
        .venv/bin/python -c '
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("VACUUM INTO ?", (sys.argv[2],))
connection.close()
' "$file" "$into.part/dosvotos.db" ;;
    postgresql*) pg_dump --format=custom --file="$into.part/dosvotos.dump" "$DOSVOTOS_DATABASE_URL" ;;
    *) echo "DOSVOTOS_DATABASE_URL: neither SQLite nor PostgreSQL" >&2; exit 1 ;;
esac
for folder in data/06_models data/08_reporting conf; do
    if [ -d "$folder" ]; then tar -czf "$into.part/$(basename "$folder").tar.gz" "$folder"; fi
done
( cd "$into.part" && sha256sum -- * > SHA256SUMS )
mv "$into.part" "$into"
echo "$into"
