#!/usr/bin/env bash
# A session with a running platform over gRPC and reflection: no file of this repository is needed.
#   session.sh buf|grpcurl [HOST:PORT] [WORLD]
# It freezes the world for a moment to have a change to show.
set -euo pipefail

tool=${1:-buf}
gateway=${2:-127.0.0.1:7400}
world=${3:-ops}
read -ra buf <<<"${BUF:-npx buf}"
read -ra grpcurl <<<"${GRPCURL:-grpcurl}"
wait_seconds_max=30

step() { printf '\n== %s\n' "$1"; }

list() {
  case $tool in
    buf) "${buf[@]}" curl --protocol grpc --http2-prior-knowledge --list-services "http://$gateway" ;;
    grpcurl) "${grpcurl[@]}" -plaintext "$gateway" list ;;
  esac
}

# describe SERVICE: its methods; grpcurl shows their messages, too.
describe() {
  case $tool in
    buf) "${buf[@]}" curl --protocol grpc --http2-prior-knowledge --list-methods "http://$gateway" | grep "^$1/" ;;
    grpcurl) "${grpcurl[@]}" -plaintext "$gateway" describe "$1" ;;
  esac
}

# call METHOD REQUEST: the answers as JSON. Subscribe goes on until it is stopped.
call() {
  case $tool in
    buf) exec "${buf[@]}" curl --protocol grpc --http2-prior-knowledge --data "$2" "http://$gateway/$1" ;;
    grpcurl) exec "${grpcurl[@]}" -plaintext -d "$2" "$gateway" "$1" ;;
  esac
}

# until_seen TEXT FILE
until_seen() {
  local end=$((SECONDS + wait_seconds_max))
  until grep -q "$1" "$2"; do
    if ((SECONDS > end)); then
      echo "no $1 within $wait_seconds_max s: $(cat "$2")" >&2
      return 1
    fi
    sleep 0.1
  done
}

case $tool in
  buf | grpcurl) ;;
  *) echo "usage: session.sh buf|grpcurl [HOST:PORT] [WORLD]" >&2 && exit 2 ;;
esac

step "services"
list
step "methods of the decision service"
describe qmtl.world.v1.DecisionService
step "what the world allows now"
(call qmtl.world.v1.DecisionService/Decide "{\"worldId\":\"$world\"}")
step "a refusal, and its reason"
(call qmtl.world.v1.DecisionService/Decide '{"worldId":"nowhere"}') 2>&1 || true
step "a ticket for the control stream"
ticket=$(call qmtl.gateway.v1.ControlStreamService/IssueTicket \
  "{\"worldId\":\"$world\",\"rights\":[\"TICKET_RIGHT_OBSERVE\"],\"topics\":[\"TOPIC_GATE\"]}" |
  sed -n 's/.*"ticket": *"\([^"]*\)".*/\1/p')
echo "${#ticket} characters; it is shown to nobody"

step "the control stream: a snapshot, then a change"
seen=$(mktemp)
set -m # the subscriber is a process group of its own: npx and what it starts end together
call qmtl.gateway.v1.ControlStreamService/Subscribe "{\"ticket\":\"$ticket\"}" >"$seen" 2>&1 &
subscriber=$!
set +m
trap 'kill -- "-$subscriber" 2>/dev/null || true; rm -f "$seen"' EXIT
until_seen '"snapshot"' "$seen"
(call qmtl.world.v1.ActivationService/Freeze \
  "{\"worldId\":\"$world\",\"hold\":\"HOLD_KIND_MANUAL\",\"reason\":\"to see a change\"}") >/dev/null
until_seen '"change": *"GATE_CHANGE_FREEZE"' "$seen"
cat "$seen"
step "the world is opened again"
(call qmtl.world.v1.ActivationService/Resume \
  "{\"worldId\":\"$world\",\"hold\":\"HOLD_KIND_MANUAL\",\"reason\":\"seen\"}")
