#!/bin/sh
# The container's entry point: finds out what only the machine knows, then becomes the command that it is given.
#
#   docker-init-relay.sh firezone-relay [options]
#
# LISTEN_ADDRESS_DISCOVERY_METHOD   gce_metadata or aws_ec2_metadata: PUBLIC_IP4_ADDR and PUBLIC_IP6_ADDR, each where it is
#                                   not given, are what the cloud's metadata server says. If neither is found, or the server
#                                   does not answer, the container ends.
# OTEL_METADATA_DISCOVERY_METHOD    gce_metadata: service.instance.id, gcp.gce.instance.name and cloud.region are added to
#                                   OTEL_RESOURCE_ATTRIBUTES where these do not have them. If the server does not answer, the
#                                   relay starts without.
# FIREZONE_TOKEN                    A file's name is replaced by what is in the file.
# METADATA_TIMEOUT                  Seconds that one look-up may take [default: 3].
# METADATA_ATTEMPTS                 How often to try it, one second apart [default: 3].
# GCE_METADATA_HOST                 The metadata server, host or host:port [default: metadata.google.internal].
# AWS_EC2_METADATA_SERVICE_ENDPOINT The metadata server's URL [default: http://169.254.169.254].
#
# An empty variable counts as one that is not set. Exit status: 1 when the machine does not answer, 2 when a variable is
# wrong; otherwise the command's. Needs a POSIX shell and curl 7.84 (wget in small images cannot PUT, as EC2 wants it).
set -eu

newline='
'

say() {
    printf 'docker-init-relay.sh: %s\n' "$*" >&2
}

fail() {
    status=$1
    shift
    say "error: $*"
    exit "$status"
}

# Fails unless the variable named $1 has a value $2 from 1 to 60.
require_small_number() {
    case $2 in
        [1-9] | [1-5][0-9] | 60) ;;
        *) fail 2 "$1 is '$2', but must be a whole number from 1 to 60" ;;
    esac
}

# ask URL [curl's arguments]: asks a metadata server. Returns 0 with its answer in $code, $flavor and $body, or 1 with the
# reason in $problem when there was none.
ask() {
    url=$1
    shift
    attempt=1
    while :; do
        # No proxy: the server is on this machine's own link, and what it says is for this machine only.
        answer=$(curl -q --silent --noproxy '*' --connect-timeout "$metadata_timeout" --max-time "$metadata_timeout" \
            --write-out '\n%{http_code}|%header{metadata-flavor}|%{errormsg}' "$@" "$url") && answered=yes || answered=no
        body=${answer%"$newline"*}
        facts=${answer##*"$newline"}
        code=${facts%%|*}
        facts=${facts#*|}
        flavor=${facts%%|*}
        if [ "$answered" = no ]; then
            problem="$url did not answer: ${facts#*|}"
        else
            case $code in
                429 | 5??) problem="$url answered HTTP status $code" ;;
                *) return 0 ;;
            esac
        fi
        if [ "$attempt" -ge "$metadata_attempts" ]; then
            problem="$problem (attempt $attempt of $metadata_attempts)"
            return 1
        fi
        attempt=$((attempt + 1))
        sleep 1
    done
}

# Takes what `ask` got: $value is the first line of the answer, or empty where this machine has no such thing. Returns 1 with
# the reason in $problem when it is neither.
take() {
    case $code in
        200) value=${body%%"$newline"*} ;;
        404) value= ;;
        *)
            problem="$url answered HTTP status $code"
            return 1
            ;;
    esac
}

# gce PATH: $value is what Google's metadata server says; otherwise 1 and $problem.
gce() {
    ask "http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/instance/$1" \
        --header 'Metadata-Flavor: Google' || return 1
    if [ "$flavor" != Google ]; then
        problem="$url answered HTTP status $code without the header 'Metadata-Flavor: Google', so this is not Google's metadata server"
        return 1
    fi
    take
}

# ec2_session: $ec2_token is what the other requests need (IMDSv2); otherwise 1 and $problem.
ec2_session() {
    ask "$ec2_endpoint/latest/api/token" --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' || return 1
    take || return 1
    ec2_token=$value
    if [ -z "$ec2_token" ]; then
        problem="$url gave no token, so this is not EC2's metadata server (IMDSv2)"
        return 1
    fi
}

# ec2 PATH: $value is what EC2's metadata server says; otherwise 1 and $problem.
ec2() {
    ask "$ec2_endpoint/latest/meta-data/$1" --header "X-aws-ec2-metadata-token: $ec2_token" || return 1
    take
}

# Ends the container: the relay would tell clients a wrong address.
no_addresses() {
    fail 1 "LISTEN_ADDRESS_DISCOVERY_METHOD=$LISTEN_ADDRESS_DISCOVERY_METHOD, but $problem. $advice, or set PUBLIC_IP4_ADDR" \
        "and PUBLIC_IP6_ADDR and leave LISTEN_ADDRESS_DISCOVERY_METHOD out"
}

require_curl() {
    command -v curl >/dev/null || fail 2 "$1 is set, but curl, which asks the metadata server, is not in this image: install" \
        "curl 7.84 or later, or leave $1 out"
}

# discover_addresses FUNCTION PATH4 PATH6: asks for what is not given.
discover_addresses() {
    if [ -z "${PUBLIC_IP4_ADDR:-}" ]; then
        "$1" "$2" || no_addresses
        case $value in
            '') ;;
            *[!0-9.]*)
                problem="$url answered something that is no IPv4 address"
                no_addresses
                ;;
            *)
                export PUBLIC_IP4_ADDR="$value"
                say "PUBLIC_IP4_ADDR=$value, says $url"
                ;;
        esac
    fi
    if [ -z "${PUBLIC_IP6_ADDR:-}" ]; then
        "$1" "$3" || no_addresses
        case $value in
            '') ;;
            *[!0-9a-fA-F:.]*)
                problem="$url answered something that is no IPv6 address"
                no_addresses
                ;;
            *)
                export PUBLIC_IP6_ADDR="$value"
                say "PUBLIC_IP6_ADDR=$value, says $url"
                ;;
        esac
    fi
    if [ -z "${PUBLIC_IP4_ADDR:-}${PUBLIC_IP6_ADDR:-}" ]; then
        problem='this machine has no public address, says its metadata server'
        advice='Give it one'
        no_addresses
    fi
}

# add_attribute NAME VALUE: adds a resource attribute, unless the operator gave it.
add_attribute() {
    case ",${OTEL_RESOURCE_ATTRIBUTES:-}" in
        *",$1="* | *", $1="*) return 0 ;;
    esac
    case $2 in
        '' | *[!A-Za-z0-9._-]*)
            say "warning: $url has no usable value for $1; going on without"
            return 0
            ;;
    esac
    export OTEL_RESOURCE_ATTRIBUTES="${OTEL_RESOURCE_ATTRIBUTES:+$OTEL_RESOURCE_ATTRIBUTES,}$1=$2"
}

# Returns 1 with the reason in $problem when the server does not answer.
discover_attributes() {
    gce id || return 1
    add_attribute service.instance.id "$value"
    gce name || return 1
    add_attribute gcp.gce.instance.name "$value"
    gce zone || return 1
    # projects/12345/zones/europe-west1-b lies in europe-west1.
    zone=${value##*/}
    add_attribute cloud.region "${zone%-*}"
}

[ "$#" -gt 0 ] || fail 2 'no command is given: end the command line (args in Kubernetes, CMD in a Dockerfile) with firezone-relay'

metadata_timeout=${METADATA_TIMEOUT:-3}
metadata_attempts=${METADATA_ATTEMPTS:-3}
require_small_number METADATA_TIMEOUT "$metadata_timeout"
require_small_number METADATA_ATTEMPTS "$metadata_attempts"

if [ -f "${FIREZONE_TOKEN:-}" ]; then
    token=$(cat -- "$FIREZONE_TOKEN") || fail 2 "FIREZONE_TOKEN names the file $FIREZONE_TOKEN, which cannot be read: let user" \
        "$(id -u) read it"
    [ -n "$token" ] || fail 2 "FIREZONE_TOKEN names the file $FIREZONE_TOKEN, which is empty: put the portal's token into it"
    export FIREZONE_TOKEN="$token"
else
    # What it holds may be a secret, so it is not printed.
    case ${FIREZONE_TOKEN:-} in
        /*) say 'warning: FIREZONE_TOKEN begins with /, as the name of a file does, but there is no such file; taking it for the token' ;;
    esac
fi

case ${LISTEN_ADDRESS_DISCOVERY_METHOD:-} in
    '') ;;
    gce_metadata)
        if [ -z "${PUBLIC_IP4_ADDR:-}" ] || [ -z "${PUBLIC_IP6_ADDR:-}" ]; then
            require_curl LISTEN_ADDRESS_DISCOVERY_METHOD
            advice='Run it on Google Compute Engine with access to the metadata server'
            discover_addresses gce network-interfaces/0/access-configs/0/external-ip network-interfaces/0/ipv6s
        fi
        ;;
    aws_ec2_metadata)
        if [ -z "${PUBLIC_IP4_ADDR:-}" ] || [ -z "${PUBLIC_IP6_ADDR:-}" ]; then
            require_curl LISTEN_ADDRESS_DISCOVERY_METHOD
            advice='Run it on EC2 with instance metadata switched on (in a container outside of the host network with a hop limit of 2)'
            ec2_endpoint=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
            ec2_endpoint=${ec2_endpoint%/}
            ec2_session || no_addresses
            discover_addresses ec2 public-ipv4 ipv6
        fi
        ;;
    *) fail 2 "LISTEN_ADDRESS_DISCOVERY_METHOD is '$LISTEN_ADDRESS_DISCOVERY_METHOD', but must be gce_metadata, aws_ec2_metadata or empty" ;;
esac

case ${OTEL_METADATA_DISCOVERY_METHOD:-} in
    '') ;;
    gce_metadata)
        require_curl OTEL_METADATA_DISCOVERY_METHOD
        discover_attributes || say "warning: OTEL_METADATA_DISCOVERY_METHOD=gce_metadata, but $problem; going on without what it" \
            "would say. Leave OTEL_METADATA_DISCOVERY_METHOD out where there is no such server"
        ;;
    *) fail 2 "OTEL_METADATA_DISCOVERY_METHOD is '$OTEL_METADATA_DISCOVERY_METHOD', but must be gce_metadata or empty" ;;
esac

exec "$@"
