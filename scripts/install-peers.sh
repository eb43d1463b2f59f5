#!/bin/sh
# Installs the programs of others that the tests talk to, from Debian's packages, and says clearly what
# is missing. Programs whose packages exclude one another (the MTAs) are unpacked into a folder beside,
# never installed, and no daemon is started. The tests skip, loudly, whatever is not there; with
# POSTHASTE_REQUIRE_PEERS=1 they fail instead.
set -u
PEERS=${POSTHASTE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/posthaste/peers}

# command:package
tools="swaks:swaks msmtp:msmtp mbsync:isync fetchmail:fetchmail curl:curl neomutt:neomutt tmux:tmux python3:python3 openssl:openssl"
beside="postfix"
missing=
for t in $tools; do
	command -v "${t%%:*}" >/dev/null 2>&1 || missing="$missing ${t#*:}"
done
perl -MIO::Socket::SSL -MNet::SSLeay -e1 2>/dev/null || missing="$missing libio-socket-ssl-perl libnet-ssleay-perl"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"

if ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$missing" ] || echo "peers: this is no Debian; install these by hand, or their tests are skipped:$missing"
	exit 0
fi
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"

updated=
update() {
	[ "$updated" ] && return
	updated=1
	$as_root apt-get update -q >/dev/null 2>&1 || true
}

if [ "$missing" ]; then
	if [ -n "$as_root" ] && ! $as_root true 2>/dev/null; then
		echo "peers: not root and no sudo: ask an administrator to run: apt-get install --no-install-recommends$missing"
	else
		echo "peers: installing$missing"
		update
		# A policy file keeps installs from starting daemons; it is taken away again if it is ours.
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
			$as_root chmod 755 $policy
			trap '$as_root rm -f $policy' EXIT
		fi
		log=$(mktemp)
		# shellcheck disable=SC2086
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1 ||
			{ echo "peers: apt-get install failed:"; tail -n 5 "$log"; }
		rm -f "$log"
	fi
fi

for p in $beside; do
	[ -d "$PEERS/$p/usr" ] && continue
	echo "peers: unpacking $p into $PEERS/$p"
	mkdir -p "$PEERS/$p"
	[ "$as_root" ] || update
	(cd "$PEERS/$p" && apt-get download -q "$p" >/dev/null 2>&1 && for f in ./*.deb; do dpkg -x "$f" .; done; rm -f ./*.deb)
	[ -d "$PEERS/$p/usr" ] || echo "peers: $p could not be downloaded; its tests are skipped"
done
exit 0
