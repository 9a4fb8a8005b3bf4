#!/usr/bin/env bash
# Makes the secrets that deploy/compose.yaml reads, once; what is there already stays.
#   deploy/secrets.sh [FOLDER]        # deploy/secrets without it
# The containers run as whoever calls this (as user 10001 when that is root), for only the owner may read the files.
set -euo pipefail
umask 077
folder="${1:-$(dirname "$0")/secrets}"
mkdir -p "$folder/providers" "$folder/backups"

fresh() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
put() { # FILE TEXT: whole or not at all, and never over an old one
  [[ -e "$folder/$1" ]] && return
  printf '%s\n' "$2" >"$folder/.$1"
  mv "$folder/.$1" "$folder/$1"
}

put pepper "$(fresh)"
put postgres_password "$(fresh)"
put pgpass "postgres:5432:golive:golive:$(<"$folder/postgres_password")"
if ((EUID == 0)); then
  user=10001:10001
  chown -R "$user" "$folder"
else
  user="$(id -u):$(id -g)"
fi
put compose.env "GOLIVE_USER=$user"

echo "$folder: pepper, postgres_password, pgpass, compose.env"
echo "Keys of providers go into $folder/providers/NAME; golive.toml names them file:/run/secrets/providers/NAME."
