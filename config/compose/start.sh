#!/bin/sh
# nats-server takes variables for values in its configuration. The secrets become such, and nobody else sees them.
set -eu
for name in bridged consumer system; do
    value=$(cat "/run/secrets/$name")
    case $name in
        bridged) export BRIDGED="$value" ;;
        consumer) export CONSUMER="$value" ;;
        system) export SYSTEM="$value" ;;
    esac
done
exec nats-server --config /etc/nats/nats.conf
