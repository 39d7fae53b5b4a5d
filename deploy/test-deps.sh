#!/bin/sh
# Installs the programs the tests run for real: git with its http-backend, an
# SSH client, ssh-audit, PostgreSQL, Chromium, strace, fish, and node with an OpenID
# provider. Does nothing where they are present.
set -eu

missing=
have() { command -v "$1" >/dev/null 2>&1; }

have git && have ssh || missing="$missing git openssh-client"
have gcc || missing="$missing gcc libc6-dev" # the race detector links with cgo
have initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium fonts-dejavu-core fonts-noto-cjk"
have ssh-audit || missing="$missing ssh-audit" # judges what the SSH server offers
have curl || missing="$missing curl"
have strace || missing="$missing strace" # counts what is run, fails calls
have fish || missing="$missing fish" # reads the settings "gitmirror env" prints
have unshare && have ip || missing="$missing util-linux iproute2"
have node && have npm || missing="$missing nodejs npm" # runs the OpenID provider, from node 18 on

# The OpenID provider is kept for all work trees, by its lock file; see internal/oidctest.
provider() {
	from=$(dirname "$0")/../internal/oidctest/provider
	to=${XDG_CACHE_HOME:-$HOME/.cache}/gitmirror-test/oidc-provider-$(sha256sum "$from/package-lock.json" | cut -c1-12)
	[ ! -d "$to" ] || return 0
	echo "Installing the OpenID provider of the tests" >&2
	mkdir -p "$(dirname "$to")"
	new=$(mktemp -d "$to.XXXXXX") # half an installation is none
	cp "$from/package.json" "$from/package-lock.json" "$new"
	npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null || { rm -rf "$new"; return 1; }
	mv -T "$new" "$to" 2>/dev/null || rm -rf "$new" # somebody else was faster
}

[ -n "$missing" ] || { provider; exit; }
if ! have apt-get; then
	echo "The tests need these packages, please install them:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing what the tests need:$missing" >&2
$sudo apt-get update -qq
# The tests start a PostgreSQL of their own; the package's need not run.
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word per package
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
provider
