package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"posthaste/config"
	"posthaste/dns"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/mailauth/spf"
	"posthaste/smtp"
)

type spfCommands struct {
	Check spfCheck `cmd:"" help:"Say whether a host may send mail of a domain, and why."`
}

type spfCheck struct {
	IP   string `arg:"" name:"ip" help:"Address of the host."`
	From string `arg:"" help:"The sender, a domain alone, or <> for the null sender."`
	Helo string `arg:"" optional:"" help:"What the host calls itself. It is checked when the sender is <>."`
}

// Help says what is asked.
func (c *spfCheck) Help() string {
	return "Policies are evaluated as for a message (RFC 7208), by the resolver of the configuration, or that of the system where there is none. No node needs to run."
}

func (c *spfCheck) Run(e *env) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	resolver, hostname, err := e.resolver()
	if err != nil {
		return err
	}
	query.Hostname = hostname
	ctx, reasons := explain.With(e.ctx)
	verdict := spf.Check(ctx, resolver, query)
	if e.out.json {
		return e.out.object(struct {
			spf.Verdict
			Trace []explain.Reason `json:"trace"`
		}{verdict, reasons.List()})
	}
	c.print(e.out, verdict, reasons.List())
	return nil
}

func (c *spfCheck) query() (q spf.Query, err error) {
	q.Helo = c.Helo
	if q.IP, err = netip.ParseAddr(c.IP); err != nil {
		return q, fmt.Errorf("%q is no IP address, as 192.0.2.1 or 2001:db8::1", c.IP)
	}
	if c.From == "<>" || c.From == "" {
		if c.Helo == "" {
			return q, errors.New("for the null sender say what the host calls itself, as the third argument")
		}
		return q, nil
	}
	if dns.IsHostName(c.From) {
		q.From.Domain = c.From
		return q, nil
	}
	from, err := smtp.ParseAddress(c.From)
	if err != nil {
		return q, fmt.Errorf("sender %q: %w", c.From, err)
	}
	q.From = mail.ReversePath{Address: from}
	return q, nil
}

func (c *spfCheck) print(p *printer, v spf.Verdict, reasons []explain.Reason) {
	result := string(v.Result)
	switch v.Result {
	case spf.Pass:
		result = p.green(result)
	case spf.Fail, spf.SoftFail, spf.PermError, spf.TempError:
		result = p.red(result)
	}
	p.say("%s for %s by %s", p.bold(result), v.Domain, c.IP)
	p.say("  %s", oneLine(v.Reason))
	if v.Explanation != "" {
		p.say("  %s explains: %s", v.At, v.Explanation)
	}
	p.say("\n%s", p.bold("How it was found out"))
	t := p.table("RECORD OF", "WHAT WAS SEEN AND WHAT CAME OF IT")
	for _, r := range reasons {
		t.row(oneLine(r.Subject), oneLine(r.Text))
	}
	t.print("")
	p.say("\nAuthentication-Results would say: %s", v.Resinfo())
	p.say("%s", p.dim("It took "+counted(v.Lookups, "question")+" to the DNS."))
}

// resolver returns one as the configuration has it, and our host name; without a configuration file that of
// the system.
func (e *env) resolver() (*dns.Resolver, string, error) {
	file := config.Find(e.configFile)
	cfg := new(config.Config)
	if _, err := os.Stat(file); e.configFile != "" || !errors.Is(err, fs.ErrNotExist) {
		if cfg, err = config.Load(file); err != nil {
			return nil, "", err
		}
	}
	r, err := dns.New(dns.Config{Servers: cfg.DNS.Servers, Trusted: cfg.DNS.Trusted, Anchors: cfg.DNS.Anchors})
	return r, cfg.Hostname, err
}
