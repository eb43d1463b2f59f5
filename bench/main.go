// Command bench puts load on a mail server from outside, over SMTP and IMAP, and prints figures.
// run.sh beside it starts Posthaste and Postfix with Dovecot, runs both in turn and prints a table with
// ratios; absolute rates of shared machines mean little.
//
//	bench inbound    mail over SMTP until all of it is visible over IMAP
//	bench outbound   submission with AUTH until a sink has it all
//	bench access     what one IMAP client waits for, in a large mailbox
//	bench idle       memory of idle IMAP sessions
//	bench disk       F: durable 4 KB overwrites a second, by one writer
//	bench memory     memory of processes and their descendants
//	bench wait       until servers greet
//	bench dns        answers for the names of the bench, so that no server waits for the network
//	bench maildir    a Maildir of messages, for an import
//	bench profile    a node in this process under load, with profiles of CPU and memory
//	bench table      medians and ratios of what runs printed
//
// Each figure is a line of name, value and unit, separated by tabs. Messages differ, and the same seed
// makes the same ones. Servers must be on loopback.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// password is that of every user.
const password = "benchbench"

var commands = map[string]func(args []string) error{
	"inbound":  inbound,
	"outbound": outbound,
	"access":   access,
	"idle":     idle,
	"disk":     disk,
	"memory":   memoryOf,
	"wait":     wait,
	"dns":      serveDNS,
	"maildir":  writeMaildir,
	"profile":  profile,
	"table":    table,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bench COMMAND [-h | flags]: see go doc ./bench")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// newFlags returns flags that end the program when they are wrong.
func newFlags(command string) *flag.FlagSet {
	return flag.NewFlagSet("bench "+command, flag.ExitOnError)
}

// userName returns the login, and address, of user i of n.
func userName(i, n int) string { return fmt.Sprintf("user%d@bench.example", i%n+1) }

func report(name string, value float64, unit string) { fmt.Printf("%s\t%.6g\t%s\n", name, value, unit) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile returns the value below which the share q of the values lies. It sorts them.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

// bytesName returns "4 KB" for 4096.
func bytesName(n int) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%d KB", (n+500)/1000), " ")
}
