// Command posthaste is a whole mail system in one program: `posthaste serve` runs a node, the other
// commands administer it, `posthaste demo` shows it at work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"posthaste/config"
	"posthaste/helper"
)

// commands is the command line. The words are fixed: scripts rely on them.
type commands struct {
	Config string `help:"Configuration file. Default: $POSTHASTE_CONFIG, else /etc/posthaste/posthaste.toml." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON, an object a line, for programs."`

	Serve   serveCommand    `cmd:"" help:"Run a node."`
	Reload  reloadCommand   `cmd:"" help:"Make the running node take its changed configuration over."`
	Demo    demoCommand     `cmd:"" help:"Show a message on its way between two mail domains, on this machine alone. Needs no configuration."`
	ConfigC configCommands  `cmd:"" name:"config" help:"Check, show and explain the configuration."`
	Domain  domainCommands  `cmd:"" help:"Domains this node takes mail for."`
	Account accountCommand  `cmd:"" help:"Accounts: who has mailboxes and can log in."`
	Alias   aliasCommands   `cmd:"" help:"Addresses that lead to others."`
	Mailbox mailboxCommand  `cmd:"" help:"Mailboxes of an account: list, import, export."`
	Queue   queueCommands   `cmd:"" help:"Messages that wait for delivery."`
	TLSRPT  tlsrptCommands  `cmd:"" name:"tlsrpt" help:"What other hosts report about TLS with our domains (RFC 8460)."`
	Trace   traceCommand    `cmd:"" help:"What happened to a message, and why."`
	Man     manCommand      `cmd:"" help:"Print the manual."`
	Table   tableCommands   `cmd:"" help:"Lookup tables: test what they answer."`
	Explain explainCommands `cmd:"" help:"Say why, in plain words."`
	Version versionCommand  `cmd:"" help:"Print the version."`

	trustCommands

	Sendmail   sendmailCommand   `cmd:"" passthrough:"" exit:"sysexits" help:"Submit a message as sendmail of other systems does. Also by a link named sendmail."`
	Mailq      mailqCommand      `cmd:"" exit:"sysexits" help:"List the queue in the customary form. Also by a link named mailq."`
	Newaliases newaliasesCommand `cmd:"" exit:"sysexits" help:"Check the alias files; there is nothing to rebuild. Also by a link named newaliases."`
}

func main() {
	helper.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if status, known := calledAs(ctx, os.Args[0], os.Args[1:]); known {
		os.Exit(status)
	}
	os.Exit(run(ctx, os.Args[1:]))
}

// run parses and runs one command and returns the exit status: 0 done, 1 failed, 2 wrong usage, or of
// the customary commands one of sysexits(3).
func run(ctx context.Context, args []string) int {
	var c commands
	parser := newParser(&c)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "posthaste: %v\n", err)
		fmt.Fprintln(os.Stderr, "posthaste --help lists the commands")
		return 2
	}
	e := &env{ctx: ctx, configFile: c.Config, out: newPrinter(os.Stdout, c.JSON), err: os.Stderr, in: os.Stdin}
	if err := parsed.Run(e); err != nil {
		var status exitStatus
		if errors.As(err, &status) {
			return int(status)
		}
		report(e, err)
		return 1
	}
	return 0
}

// newParser returns the parser that fills c.
func newParser(c *commands) *kong.Kong {
	parser, err := kong.New(c, kong.Name("posthaste"), kong.Description("A whole mail system in one program."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // the tags of commands are wrong
	}
	return parser
}

// report prints what went wrong: all problems of a configuration, a line each.
func report(e *env, err error) {
	if errors.Is(err, errSilent) {
		return
	}
	var problems *config.Error
	if errors.As(err, &problems) {
		fmt.Fprintln(e.err, problems)
		return
	}
	fmt.Fprintf(e.err, "posthaste: %v\n", err)
}

// errSilent ends a command that has said already what is wrong.
var errSilent = errors.New("failed")
