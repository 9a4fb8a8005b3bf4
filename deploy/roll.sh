#!/usr/bin/env bash
# Restarts the replicas of compose.yaml with what is there now (a new image, another golive.toml), one after the other,
# such that no request meets one that is going: the proxy lets go of it first. Open streams go on until server.drain_s.
#   deploy/roll.sh [SERVICE…]         # all three without it
set -euo pipefail
cd "$(dirname "$0")"
all=(golive-1 golive-2 golive-3)
dc() { docker compose --env-file secrets/compose.env -f compose.yaml "$@"; }
proxy_to() {
  local upstreams="${*/%/:8080}"
  dc exec -T -e GOLIVE_UPSTREAMS="$upstreams" proxy caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile
}
trap 'proxy_to "${all[@]}"' EXIT

for replica in "${@:-${all[@]}}"; do
  others=()
  for one in "${all[@]}"; do [[ "$one" == "$replica" ]] || others+=("$one"); done
  proxy_to "${others[@]}"
  dc up -d --no-deps --force-recreate --wait "$replica"
  proxy_to "${all[@]}"
done
