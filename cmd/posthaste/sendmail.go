package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"posthaste/admin"
	"posthaste/aliases"
	"posthaste/config"
	"posthaste/directory/aliasmap"
	"posthaste/sendmail"
)

// An exitStatus is an error that has been told and that asks for its own exit status.
type exitStatus int

// Error returns the status.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func (s exitStatus) err() error {
	if s == 0 {
		return nil
	}
	return s
}

// envDrop names the drop directory for those who may not read the configuration.
const envDrop = "POSTHASTE_DROP"

type (
	sendmailCommand struct {
		Args []string `arg:"" optional:"" help:"Options and recipients, as sendmail of other systems takes them."`
	}
	mailqCommand      struct{}
	newaliasesCommand struct{}
)

// Help tells of the options that count.
func (c *sendmailCommand) Help() string {
	return "The message on standard input goes into the drop directory, from where the node takes it, and the command is done once it is safe there. " +
		"-t takes recipients from the header, -i reads past a line of a single dot, -f names the sender, which counts for root and for unix.trusted only, " +
		"-F the name of the author, -N, -R and -V what is to be reported (RFC 3461), -B the body type. " +
		"-bs speaks SMTP on standard input and output, -bp lists the queue as mailq, -bi checks the alias files as newaliases, -q tries everything now. " +
		"Other options of sendmail are taken and mean nothing; -bd and -bv are refused."
}

func (c *sendmailCommand) Run(e *env) error {
	return exitStatus(sendmail.Run(e.ctx, e.sendmail(), c.Args)).err()
}

func (mailqCommand) Run(e *env) error      { return exitStatus(e.mailq(e.ctx)).err() }
func (newaliasesCommand) Run(e *env) error { return exitStatus(e.newaliases(e.ctx)).err() }

// calledAs is run for a program that is called by a customary name: through a link, programs find us
// where they look for sendmail.
func calledAs(ctx context.Context, program string, args []string) (status int, known bool) {
	e := &env{ctx: ctx, out: newPrinter(os.Stdout, false), err: os.Stderr, in: os.Stdin}
	switch filepath.Base(program) {
	case "sendmail":
		return sendmail.Run(ctx, e.sendmail(), args), true
	case "mailq":
		return sendmail.Run(ctx, e.sendmail(), append([]string{"-bp"}, args...)), true
	case "newaliases":
		return sendmail.Run(ctx, e.sendmail(), append([]string{"-bi"}, args...)), true
	}
	return 0, false
}

// sendmail returns what sendmail works with. Ordinary users often may not read the configuration; the
// defaults serve then.
func (e *env) sendmail() sendmail.Env {
	s := sendmail.Env{
		In: e.in, Out: e.out.w, Err: e.err, Dir: os.Getenv(envDrop),
		List: e.mailq, Flush: e.flush, Aliases: e.newaliases,
	}
	s.Hostname, _ = os.Hostname()
	if cfg, err := e.loadConfig(); err == nil {
		s.Hostname, s.MaxSize = cfg.Hostname, int64(cfg.SMTP.MaxSize)
		if s.Dir == "" {
			s.Dir = cfg.Drop.Directory
		}
	}
	return s
}

// status tells err and returns its exit status.
func (e *env) status(err error) int {
	switch {
	case err == nil:
		return sendmail.OK
	case errors.Is(err, errSilent):
		return sendmail.TempFail
	}
	fmt.Fprintf(e.err, "sendmail: %v\n", err)
	var problems *config.Error
	switch {
	case errors.As(err, &problems), errors.Is(err, fs.ErrNotExist):
		return sendmail.ConfigErr
	case errors.Is(err, fs.ErrPermission), os.Getuid() != 0 && strings.Contains(err.Error(), "another user"):
		return sendmail.NoPerm
	}
	return sendmail.TempFail
}

// flush makes all that waits due now.
func (e *env) flush(context.Context) int {
	return e.status(e.withAdmin(func(client *admin.Client) error {
		_, err := admin.Call[admin.QueueDone](e.ctx, client, "queue/do", admin.QueueDoRequest{Verb: "retry", All: true})
		return err
	}))
}

// newaliases checks the alias files. They are read as they are, so there is nothing to rebuild.
func (e *env) newaliases(context.Context) int {
	files := []string{"/etc/aliases"}
	cfg, err := e.loadConfig()
	switch {
	case err == nil && len(cfg.Alias.Files) > 0:
		files = cfg.Alias.Files
	case err == nil:
		fmt.Fprintf(e.err, "newaliases: the node reads no alias file: name some as alias.files in the configuration\n")
	}
	status := sendmail.OK
	for _, file := range files {
		if err := e.checkAliases(file); err != nil {
			for line := range strings.Lines(err.Error()) {
				fmt.Fprintf(e.err, "newaliases: %s\n", strings.TrimSuffix(line, "\n"))
			}
			status = sendmail.DataErr
		}
	}
	return status
}

// checkAliases says of a file what newaliases customarily says, and looks at what it includes.
func (e *env) checkAliases(file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(e.out.w, "%s: there is none\n", file)
		return nil
	}
	if err != nil {
		return err
	}
	f := aliasmap.NewFile(file, aliasmap.Names{}, nil)
	count, err := f.Check()
	var wrong aliases.Problems
	if err == nil || errors.As(err, &wrong) {
		fmt.Fprintf(e.out.w, "%s: %d aliases, %d bytes total\n", file, count, info.Size())
	}
	if err == nil {
		_, err = f.Includes()
	}
	return err
}
