#!/bin/sh
# Installs the peers of "make bench-serve" and "make bench-gateway": nginx, fcgiwrap
# and OpenSSH's server, and wrk, which asks.
# Their services are not started; the benchmark runs its own. Does nothing where
# they are present.
set -eu

PATH=$PATH:/usr/sbin:/usr/local/sbin
missing=
have() { command -v "$1" >/dev/null 2>&1; }

have nginx || missing="$missing nginx-light"
have fcgiwrap || missing="$missing fcgiwrap"
have sshd || missing="$missing openssh-server"
have wrk || missing="$missing wrk"

[ -n "$missing" ] || exit 0
if ! have apt-get; then
	echo "The benchmark needs these packages, please install them:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing what the benchmark needs:$missing" >&2
$sudo apt-get update -qq
export DEBIAN_FRONTEND=noninteractive
# A policy of 101 forbids the packages to start their services.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
	trap '$sudo rm -f $policy' EXIT
fi
# shellcheck disable=SC2086 # one word per package
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
