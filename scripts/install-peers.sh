#!/bin/sh
# Installs the programs of others that the tests talk to, from Debian's packages, and says clearly what
# is missing. Postfix, Exim and OpenSMTPD, whose packages exclude each other, are unpacked into folders
# beside and never installed; only their libraries are. No daemon is started. Where all is there
# this takes a moment. The tests skip, loudly, whatever is not there; with POSTHASTE_REQUIRE_PEERS=1
# they fail instead.
set -u
PATH=$PATH:/usr/sbin:/sbin
PEERS=${POSTHASTE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/posthaste/peers}

# command:package
tools="cc:gcc ip:iproute2 openssl:openssl python3:python3
swaks:swaks msmtp:msmtp s-nail:s-nail mbsync:isync fetchmail:fetchmail curl:curl neomutt:neomutt tmux:tmux chromium:chromium
slapd:slapd ldapsearch:ldap-utils mariadbd:mariadb-server-core mariadb:mariadb-client-core
unbound:unbound ldns-signzone:ldnsutils delv:bind9-dnsutils mandoc:mandoc xmllint:libxml2-utils
rspamd:rspamd spamd:spamd opendkim:opendkim opendmarc:opendmarc clamd:clamav-daemon c-icap:c-icap"

missing=
need() { missing="$missing $*"; }
for t in $tools; do
	command -v "${t%%:*}" >/dev/null 2>&1 || need "${t#*:}"
done
[ -e /usr/include/stdlib.h ] || need libc6-dev
command -v perl >/dev/null && perl -MIO::Socket::SSL -MNet::SSLeay -e1 2>/dev/null || need libio-socket-ssl-perl libnet-ssleay-perl
/usr/bin/python3 -c "import spf, dns.resolver" 2>/dev/null || need python3-spf python3-dnspython
[ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates
ls /usr/lib/*/sasl2/libplain.so >/dev/null 2>&1 || need libsasl2-modules
[ -d /usr/lib/python3/dist-packages/dkim ] || need python3-dkim python3-nacl
ls /usr/lib/*/c_icap/virus_scan.so >/dev/null 2>&1 || need libc-icap-mod-virus-scan
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need postgresql

if ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$missing" ] || echo "peers: this is no Debian; install these by hand, or their tests are skipped:$missing"
	exit 0
fi
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"

updated=
update() {
	[ "$updated" ] || $as_root apt-get update -q >/dev/null 2>&1 || echo "peers: apt-get update failed: what follows may be stale"
	updated=1
}

install() {
	if [ -n "$as_root" ] && ! $as_root true 2>/dev/null; then
		echo "peers: not root and no sudo: ask an administrator to run: apt-get install --no-install-recommends $*"
		return
	fi
	echo "peers: installing $*"
	update
	# A policy file keeps packages from starting daemons; it goes away again if it is ours.
	policy=/usr/sbin/policy-rc.d
	ours=
	if [ ! -e $policy ]; then
		ours=1
		printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
		$as_root chmod 755 $policy
	fi
	# One package that is not to be had must not keep the others away.
	if ! log=$(apt_install "$@" 2>&1); then
		for p in "$@"; do
			log=$(apt_install "$p" 2>&1) || { echo "peers: $p could not be installed, its tests are skipped:"; echo "$log" | tail -n 3; }
		done
	fi
	[ -z "$ours" ] || $as_root rm -f $policy
}

apt_install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

# shellcheck disable=SC2086
[ -z "$missing" ] || install $missing

# unpack NAME PROGRAM PACKAGE...: the files of packages, below $PEERS/NAME, where PROGRAM then is.
unpack() {
	into=$PEERS/$1
	program=$2
	shift 2
	if [ ! -x "$into/$program" ]; then
		echo "peers: unpacking $* into $into"
		update
		unpacked=$into.$$
		rm -rf "$unpacked"
		mkdir -p "$unpacked"
		(
			set -e
			cd "$unpacked"
			apt-get download -q -o APT::Sandbox::User= "$@"
			for deb in ./*.deb; do
				dpkg -x "$deb" .
				dpkg-deb -f "$deb" Depends >>depends
			done
			rm -f ./*.deb
		) >"$unpacked.log" 2>&1 && rm -rf "$into" && mv "$unpacked" "$into" ||
			{ echo "peers: $* could not be unpacked, its tests are skipped:"; tail -n 3 "$unpacked.log"; }
		rm -rf "$unpacked" "$unpacked.log"
	fi
	# Libraries that it needs and this machine lacks: of its dependencies those that begin with lib.
	if [ -x "$into/$program" ] && LD_LIBRARY_PATH=$into/usr/lib/postfix ldd "$into/$program" | grep -q 'not found'; then
		# shellcheck disable=SC2046
		install $(tr ',|' '\n\n' <"$into/depends" | sed -n 's/^ *\(lib[^ ]*\).*/\1/p')
	fi
}

unpack postfix usr/lib/postfix/sbin/master postfix
unpack exim usr/sbin/exim4 exim4-daemon-heavy exim4-base exim4-config
unpack opensmtpd usr/sbin/smtpd opensmtpd
exit 0
