// Package interop proves that Posthaste works with mail programs that nobody here wrote.
//
// Each test runs the real binary as a process of its own, on free ports of 127.0.0.1, with
// certificates of a private authority, a name server of its own and accounts made by the command
// line, and has another program talk to it: swaks, msmtp, Postfix, Exim, OpenSMTPD, mbsync, fetchmail, curl, neomutt,
// Python's standard library, emersion's IMAP client. What the program says it did is not believed: the
// test reads back content and flags another way.
//
// scripts/install-peers.sh installs these programs from Debian's packages. A test whose program is
// missing skips and says so; with POSTHASTE_REQUIRE_PEERS=1 it fails.
//
// The command line itself is tested by the scripts in testdata/cli.
package interop
