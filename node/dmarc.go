package node

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/inbound"
	"posthaste/mail"
	"posthaste/mailauth/arf"
	"posthaste/mailauth/dmarc/aggregate"
	"posthaste/mailauth/dmarc/failure"
	"posthaste/smtp"
	"posthaste/submit"
)

// mailReports is what a node tells others about their mail, and keeps of what others tell.
type mailReports struct {
	dmarcCounts   *aggregate.Collector // nil where nobody is to be told
	dmarcFailures *failure.Reporter    // nil where nobody is to be told
	dmarcInbox    *aggregate.Inbox
	arfInbox      *arf.Inbox
}

// openReports makes the parts of n.reports. Queue and keys must be there.
func (n *Node) openReports(c *config.Config) error {
	n.reports = mailReports{dmarcInbox: aggregate.NewInbox(n.kv), arfInbox: arf.NewInbox(n.kv)}
	if c.DMARC.ReportFrom == "" {
		return nil
	}
	from, err := smtp.ParseAddress(c.DMARC.ReportFrom)
	if err != nil {
		return &config.Error{File: n.options.File, Problems: []config.Problem{c.Problem("dmarc.report_from", "%v", err)}}
	}
	signed := submit.Signed{Queue: n.queue, Signer: n.dkim} // who gets reports wants them to pass DMARC
	n.reports.dmarcCounts = aggregate.New(aggregate.Config{From: from, Contact: c.DMARC.Contact, Organization: c.DMARC.Organization,
		Hostname: c.Hostname, Store: n.kv, Queue: signed, Resolver: presentNames{n}, Log: n.log})
	if c.DMARC.FailureReports {
		n.reports.dmarcFailures = failure.New(failure.Config{From: from, Hostname: c.Hostname, Queue: signed, Resolver: presentNames{n}, Log: n.log})
	}
	return nil
}

// runReports sends reports until ctx ends.
func (n *Node) runReports(ctx context.Context, group *errgroup.Group) {
	if n.reports.dmarcCounts != nil {
		group.Go(func() error { return n.reports.dmarcCounts.Run(ctx) })
	}
	if n.reports.dmarcFailures != nil {
		group.Go(func() error { return n.reports.dmarcFailures.Run(ctx) })
	}
}

// keptReports is what the operations of the admin look at.
func (n *Node) keptReports() admin.Reports {
	return admin.Reports{DMARC: n.reports.dmarcInbox, ARF: n.reports.arfInbox, Name: func(ctx context.Context, ip netip.Addr) string {
		p := n.present()
		defer p.release()
		name, err := p.resolver.Iprev(ctx, ip)
		if err != nil {
			return ""
		}
		return name
	}}
}

// receiver is an inbox for one kind of report.
type receiver func(ctx context.Context, content []byte, now time.Time) error

// readers gives mail for one address to several: the first that can make something of it has it.
type readers []receiver

// Receive reads a report of any of the kinds.
func (r readers) Receive(ctx context.Context, content []byte, now time.Time) error {
	var problems []error
	for _, receive := range r {
		err := receive(ctx, content, now)
		if err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// reportReaders returns what reads the mail of the addresses that the configuration names for reports.
func (n *Node) reportReaders(c *config.Config) (map[mail.Address]inbound.Reader, error) {
	dmarc := func(ctx context.Context, content []byte, now time.Time) error {
		_, err := n.reports.dmarcInbox.Receive(ctx, content, now)
		return err
	}
	tlsReport := func(ctx context.Context, content []byte, now time.Time) error {
		_, err := n.tlsInbox.Receive(ctx, content, now)
		return err
	}
	feedback := func(ctx context.Context, content []byte, now time.Time) error {
		_, err := n.reports.arfInbox.Receive(ctx, content, now)
		return err
	}
	var tls []string
	if c.TLSRPT.Receive != "" {
		tls = []string{c.TLSRPT.Receive}
	}
	found := make(map[mail.Address]readers)
	for _, kind := range []struct {
		key       string
		addresses []string
		readers   readers
	}{
		{"tlsrpt.receive", tls, readers{tlsReport}},
		{"dmarc.receive", c.DMARC.Receive, readers{dmarc, feedback}},
		{"arf.receive", c.ARF.Receive, readers{feedback}},
	} {
		for _, text := range kind.addresses {
			a, err := smtp.ParseAddress(strings.ToLower(text))
			if err != nil {
				return nil, &config.Error{File: cmp.Or(n.options.File, "configuration"), Problems: []config.Problem{c.Problem(kind.key, "%v", err)}}
			}
			found[a] = append(found[a], kind.readers...)
		}
	}
	all := make(map[mail.Address]inbound.Reader, len(found))
	for a, r := range found {
		all[a] = r
	}
	return all, nil
}
