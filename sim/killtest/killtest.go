// Package killtest kills the real program, again and again, and counts what is left.
//
// Its tests build the binary, run `posthaste serve` under load (SMTP from outside, submission to
// local users and to another host, IMAP changes, imports), end it with SIGKILL at random moments,
// start it again, and ask in the end: whatever was acknowledged is there, once, or twice only where
// the acknowledgement itself was lost. A few kills run in every test, hundreds with
// POSTHASTE_TORTURE=1.
package killtest
