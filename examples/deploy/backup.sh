#!/bin/sh
# Copy the database of a server that may be running, check the copy, and keep the newest 14.
#
#     backup.sh DATABASE DIRECTORY
#
# Needs SQLite's own command, sqlite3 (3.27 or later). Run it as the owner of the database, or as
# root. A copy holds the secrets of webhooks, as the database does, so only its owner may read it.
set -eu
umask 077

[ $# -eq 2 ] || { echo "usage: backup.sh DATABASE DIRECTORY" >&2; exit 2; }
database=$1 directory=$2 keep=14
[ -f "$database" ] || { echo "backup.sh: there is no database $database" >&2; exit 1; }

mkdir -p "$directory"
copy="$directory/statusjob-$(date -u +%Y%m%dT%H%M%SZ).sqlite"
trap 'rm -f "$copy.part" "$copy.part-journal"' EXIT

# VACUUM INTO reads one snapshot, and so ends however much is written meanwhile; ".backup" begins
# again at every commit. SQLite does not wait until the copy is on disk, so sync does.
quoted=$(printf %s "$copy.part" | sed "s/'/''/g")
sqlite3 "$database" ".timeout 10000" "VACUUM INTO '$quoted'"
sync "$copy.part"
[ "$(sqlite3 "$copy.part" 'PRAGMA integrity_check')" = ok ] ||
    { echo "backup.sh: the copy is damaged" >&2; exit 1; }
mv "$copy.part" "$copy"
echo "$copy"

# Names sort by time: the newest first, and all after the first 14 are deleted.
ls -1r "$directory"/statusjob-*.sqlite | tail -n +$((keep + 1)) |
    while IFS= read -r old; do rm -- "$old"; done
