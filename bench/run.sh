#!/bin/bash
# Measures Posthaste and, where Debian's packages postfix, dovecot-imapd and dovecot-lmtpd are
# installed, Postfix + Dovecot (LMTP, mdbox) beside it, both in turn in rounds so that a change in the
# machine's speed touches both alike, and prints a table of medians and ratios.
#
#   bench/run.sh [start] [inbound] [outbound] [destinations] [access] [idle]     default: all
#   bench/run.sh trust     inbound with all checks, beside Postfix with rspamd as milter, and our own rate without checks
#   ROUNDS=3  MESSAGES="20000"  sizes of the mailboxes of access  IDLE=1000  sessions of idle
#
# Everything lies in a scratch directory and on high ports of loopback. Both servers sync as they do
# by default.
set -eu
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3} MESSAGES=${MESSAGES:-20000} IDLE=${IDLE:-1000} BASE=${BASE:-31000}
D=$(mktemp -d "${TMPDIR:-/tmp}/posthaste-bench.XXXXXX")
chmod 755 "$D"
CGO_ENABLED=0 go build -trimpath -o "$D/posthaste" ./cmd/posthaste
CGO_ENABLED=0 go build -o "$D/bench" ./bench
bench=$D/bench USERS=20 PASS=benchbench DNS=127.0.0.1:$((BASE + 53)) SINK=127.0.0.1:$((BASE + 26))
ulimit -n "$(ulimit -Hn)"

peers=posthaste
if [ -x /usr/sbin/postfix ] && [ -x /usr/sbin/dovecot ] && [ -x /usr/lib/dovecot/lmtp ] && [ -x /usr/lib/dovecot/imap ] && [ "$(id -u)" = 0 ]; then
	peers="postfix+dovecot posthaste"
else
	echo "SKIPPED PEER: Postfix + Dovecot: as root, apt-get install postfix dovecot-imapd dovecot-lmtpd, to see ratios" >&2
fi

port() { # port PEER SERVICE
	case $1:$2 in
	posthaste:*) base=$BASE ;;
	*) base=$((BASE + 1000)) ;;
	esac
	case $2 in mx) echo $((base + 25)) ;; submission) echo $((base + 587)) ;; imap) echo $((base + 143)) ;; esac
}
at() { echo "127.0.0.1:$(port "$1" "$2")"; }

configure_posthaste() {
	cat >"$D/posthaste.toml" <<-EOF
		hostname = "mx.bench.example"
		data = "$D/data"
		[tls]
		plaintext_auth = true
		[dns]
		servers = ["$DNS"]
		[remote]
		port = ${SINK#*:}
	EOF
	for s in mx submission imap; do
		printf '[[listen]]\nservice = "%s"\naddress = "%s"\n' $s "$(at posthaste $s)" >>"$D/posthaste.toml"
	done
}

configure_peer() {
	P=$D/peer
	mkdir -p "$P/postfix" "$P/queue" "$P/data" "$P/mail" "$P/run" "$P/state"
	chown postfix "$P/data"
	chown mail:mail "$P/mail"
	cat >"$P/dovecot.conf" <<-EOF
		base_dir = $P/run
		state_dir = $P/state
		log_path = $P/dovecot.log
		protocols = imap lmtp
		listen = 127.0.0.1
		ssl = no
		disable_plaintext_auth = no
		mail_location = mdbox:~/mdbox
		first_valid_uid = 1
		first_valid_gid = 1
		mail_max_userip_connections = 100000
		default_client_limit = 20000
		default_process_limit = 200
		auth_cache_size = 10M
		passdb {
		  driver = static
		  args = password=$PASS
		}
		userdb {
		  driver = static
		  args = uid=mail gid=mail home=$P/mail/%u
		}
		namespace inbox {
		  inbox = yes
		}
		service imap-login {
		  service_count = 0
		  client_limit = 10000
		  inet_listener imap {
		    port = $(port peer imap)
		  }
		  inet_listener imaps {
		    port = 0
		  }
		}
		service imap {
		  process_limit = 7000
		}
		service lmtp {
		  unix_listener lmtp {
		    mode = 0666
		  }
		}
		service auth {
		  unix_listener auth-postfix {
		    mode = 0666
		  }
		}
	EOF
	cat >"$P/postfix/main.cf" <<-EOF
		compatibility_level = 3.6
		queue_directory = $P/queue
		data_directory = $P/data
		maillog_file = $P/postfix.log
		maillog_file_prefixes = $P
		inet_interfaces = 127.0.0.1
		inet_protocols = ipv4
		myhostname = mx.bench.example
		mydestination =
		mynetworks =
		alias_maps =
		local_recipient_maps =
		virtual_mailbox_domains = bench.example
		virtual_mailbox_maps = static:all
		virtual_transport = lmtp:unix:$P/run/lmtp
		default_transport = smtp:[127.0.0.1]:${SINK#*:}
		disable_dns_lookups = yes
		smtpd_peername_lookup = no
		smtpd_client_connection_count_limit = 0
		smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
		smtpd_sasl_type = dovecot
		smtpd_sasl_path = $P/run/auth-postfix
	EOF
	cat >"$P/postfix/master.cf" <<-EOF
		127.0.0.1:$(port peer mx) inet n - n - - smtpd
		127.0.0.1:$(port peer submission) inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes
		postlog unix-dgram n - n - 1 postlogd
		cleanup unix n - n - 0 cleanup
		qmgr unix n - n 300 1 qmgr
		tlsmgr unix - - n 1000? 1 tlsmgr
		rewrite unix - - n - - trivial-rewrite
		bounce unix - - n - 0 bounce
		defer unix - - n - 0 bounce
		trace unix - - n - 0 bounce
		verify unix - - n - 1 verify
		proxymap unix - - n - - proxymap
		smtp unix - - n - - smtp
		error unix - - n - - error
		retry unix - - n - - error
		lmtp unix - - n - - lmtp
		anvil unix - - n - 1 anvil
		scache unix - - n - 1 scache
	EOF
}

start() { # start PEER: until it greets
	if [ "$1" = posthaste ]; then
		"$D/posthaste" serve --config "$D/posthaste.toml" >"$D/posthaste.out" 2>"$D/posthaste.log" </dev/null &
		echo $! >"$D/posthaste.pid"
	else
		dovecot -c "$D/peer/dovecot.conf"
		postfix -c "$D/peer/postfix" start >/dev/null 2>&1
	fi
	$bench wait "$(at "$1" mx)" "$(at "$1" imap)"
}

stop() {
	if [ "$1" = posthaste ]; then
		kill "$(cat "$D/posthaste.pid")" && wait "$(cat "$D/posthaste.pid")" || true
	else
		postfix -c "$D/peer/postfix" stop >/dev/null 2>&1 || true
		doveadm -c "$D/peer/dovecot.conf" stop || true
	fi
}

pids() {
	if [ "$1" = posthaste ]; then
		cat "$D/posthaste.pid"
	else
		echo "$(tr -d ' ' <"$D/peer/queue/pid/master.pid"),$(cat "$D/peer/run/master.pid")"
	fi
}

fill() { # fill PEER MAILDIR NAME, by the server's own import
	if [ "$1" = posthaste ]; then
		"$D/posthaste" --config "$D/posthaste.toml" mailbox import user1@bench.example "$3" "$2" >/dev/null
	else
		cp -r "$2" "$D/import/.$3"
		chown -R mail:mail "$D/import"
		doveadm -c "$D/peer/dovecot.conf" -o mail_fsync=never import -u user1@bench.example "maildir:$D/import" "" mailbox "$3"
	fi
}

measure() { # measure PEER COMMAND…: its figures, with the name of the peer
	local peer=$1
	shift
	echo "$(date +%T) $peer: $*" >&2
	"$bench" "$@" | sed "s/^/$peer\t/" >>"$D/figures" || echo "FAILED: $peer: $*" >&2
}

both() { # both COMMAND…: for each peer, with its addresses
	local peer
	for peer in $peers; do
		case $1 in
		inbound) measure "$peer" "$@" -smtp "$(at "$peer" mx)" -imap "$(at "$peer" imap)" -pids "$(pids "$peer")" ;;
		outbound) measure "$peer" "$@" -smtp "$(at "$peer" submission)" -sink "$SINK" ;;
		access) measure "$peer" "$@" -imap "$(at "$peer" imap)" ;;
		idle) measure "$peer" "$@" -imap "$(at "$peer" imap)" -pids "$(pids "$peer")" ;;
		esac
	done
}

section_start() {
	for peer in $peers; do
		stop "$peer"
		begin=$(date +%s%N)
		start "$peer"
		printf '%s\tstart until it listens\t%s\tms\n' "$peer" $((($(date +%s%N) - begin) / 1000000)) >>"$D/figures"
		sleep 2
		# shellcheck disable=SC2046
		measure "$peer" memory $(pids "$peer" | tr , ' ')
	done
}

section_inbound() {
	both inbound -size 4096 -c 1 -n 1000
	both inbound -size 4096 -c 10 -n 3000
	both inbound -size 4096 -c 50 -n 3000
	both inbound -size 50000 -c 20 -n 1000 -per 50
	both inbound -size 4096 -c 10 -n 1000 -per 1
}
section_outbound() { both outbound; }
section_destinations() {
	for tenth in alive dead; do
		measure posthaste outbound -domains 1000 -n 10000 -tenth $tenth -smtp "$(at posthaste submission)" -sink "$SINK"
	done
}
# With trust, Postfix asks rspamd 3 (default rules, names answered at once, nothing refused), and ours runs as it
# comes, its classifier having learned; then ours again with every check off.
section_trust() {
	local spec peer
	for spec in "1 1000" "10 3000" "50 3000"; do
		set -- $spec
		for peer in $peers; do
			case $peer in *dovecot*)
				with_rspamd on
				measure_as "postfix+rspamd+dovecot" "$peer" inbound -size 4096 -c "$1" -n "$2"
				with_rspamd off
				;;
			*)
				measure_as posthaste posthaste inbound -size 4096 -c "$1" -n "$2"
				restart_posthaste '[filter]' 'enabled = false' '[authenticate]' 'enabled = false' '[attachments]' 'enabled = false'
				measure_as "posthaste without checks" posthaste inbound -size 4096 -c "$1" -n "$2"
				restart_posthaste
				;;
			esac
		done
	done
}
measure_as() { # measure_as NAME PEER inbound FLAG…
	local name=$1 peer=$2
	shift 2
	echo "$(date +%T) $name: $*" >&2
	"$bench" "$@" -smtp "$(at "$peer" mx)" -imap "$(at "$peer" imap)" -pids "$(pids "$peer")" | sed "s/^/$name\t/" >>"$D/figures" || echo "FAILED: $name: $*" >&2
}
with_rspamd() { # with_rspamd on|off
	local milters=
	[ "$1" = off ] || milters=inet:127.0.0.1:$((BASE + 1332))
	postconf -c "$D/peer/postfix" -e "smtpd_milters=$milters" && postfix -c "$D/peer/postfix" reload >/dev/null 2>&1
	sleep 1
}
restart_posthaste() { # restart_posthaste LINE…: with more lines of configuration, or with none
	stop posthaste
	configure_posthaste
	[ $# = 0 ] || printf '%s\n' "$@" >>"$D/posthaste.toml"
	start posthaste
	sleep 1
}
start_rspamd() {
	local r=$D/rspamd port=$((BASE + 1332))
	command -v rspamd >/dev/null || { echo "SKIPPED PEER: rspamd: apt-get install rspamd, to see ratios" >&2; return 1; }
	mkdir -p "$r/local.d" "$r/db" "$r/run" "$r/log"
	echo "dns { nameserver = [\"$DNS\"]; timeout = 1s; retransmits = 1; } local_addrs = [];" >"$r/local.d/options.inc"
	echo "bind_socket = \"127.0.0.1:$port\"; milter = yes; count = 2; upstream \"local\" { default = yes; self_scan = yes; }" >"$r/local.d/worker-proxy.inc"
	echo "bind_socket = \"127.0.0.1:$((port + 1))\"; count = 1;" >"$r/local.d/worker-normal.inc"
	echo "bind_socket = \"127.0.0.1:$((port + 2))\";" >"$r/local.d/worker-controller.inc"
	echo 'enabled = false;' >"$r/local.d/greylist.conf"
	echo 'reject = 900; add_header = 800; greylist = 950;' >"$r/local.d/actions.conf"
	chown -R _rspamd:_rspamd "$r"
	rspamd -f -u _rspamd -g _rspamd --var=LOCAL_CONFDIR="$r" --var=DBDIR="$r/db" --var=RUNDIR="$r/run" --var=LOGDIR="$r/log" >"$r/out" 2>&1 </dev/null &
	rspamd=$!
	for _ in $(seq 300); do # a milter says nothing by itself
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
		sleep 0.1
	done
	echo "SKIPPED PEER: rspamd does not listen: see $r/out" >&2
	return 1
}
learn() { # has the classifier of ours learn some hundred letters, so that it has an opinion
	"$bench" maildir -dir "$D/ham" -n 300
	cp -r "$D/ham" "$D/spam"
	find "$D/spam" -type f -exec sed -i 's/[a-z]\{5,\}/viagra&/g' {} +
	"$D/posthaste" --config "$D/posthaste.toml" spam learn --ham "$D/ham" >/dev/null
	"$D/posthaste" --config "$D/posthaste.toml" spam learn --spam "$D/spam" >/dev/null
	rm -rf "$D/ham" "$D/spam"
}

section_idle() { both idle -n "$IDLE"; }
section_access() {
	for n in $MESSAGES; do both access -mailbox "box$n"; done
	both access -ops append,mixed
}

finish() {
	trap - EXIT
	for peer in $peers; do stop "$peer"; done 2>/dev/null
	kill "$dns" ${rspamd:+"$rspamd"} 2>/dev/null || true
	rm -rf "$D"
}

sections=${*:-start inbound outbound destinations access idle}
configure_posthaste
case $peers in *dovecot*) configure_peer ;; esac
"$bench" dns -listen "$DNS" &
dns=$!
trap finish EXIT
trap "exit 1" INT TERM
for peer in $peers; do start "$peer"; done
"$D/posthaste" --config "$D/posthaste.toml" domain add bench.example >/dev/null
for i in $(seq $USERS); do
	echo $PASS | "$D/posthaste" --config "$D/posthaste.toml" account add "user$i@bench.example" --password-stdin >/dev/null
done
case $sections in *trust*)
	learn
	case $peers in *dovecot*) start_rspamd || peers=posthaste ;; esac
	;;
esac
case $sections in *access*)
	for n in $MESSAGES; do
		"$bench" maildir -dir "$D/maildir$n" -n "$n"
		mkdir -p "$D/import/cur" "$D/import/new" "$D/import/tmp"
		for peer in $peers; do fill "$peer" "$D/maildir$n" "box$n"; done
		rm -rf "$D/maildir$n" "$D/import"
	done
	;;
esac
for round in $(seq "$ROUNDS"); do
	echo "round $round of $ROUNDS" >&2
	"$bench" disk -dir "$D" | sed 's/^/machine\t/' >>"$D/disk"
	for s in $sections; do "section_$s"; done
done
echo
echo "$(nproc) cores, $(awk '/MemTotal/{print int($2/1048576+0.5)}' /proc/meminfo) GiB; load $(cut -d' ' -f1-3 /proc/loadavg); $(go version | cut -d' ' -f3)"
"$bench" table <"$D/disk"
echo
"$bench" table <"$D/figures"
