package main

import (
	"cmp"
	"fmt"
	"time"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/mailauth/arf"
	"posthaste/mailauth/dmarc/aggregate"
)

type dmarcCommands struct {
	List    dmarcList    `cmd:"" help:"List the aggregate reports that came, the newest first."`
	Show    dmarcShow    `cmd:"" help:"Print a report in words, or with --json as data."`
	Summary dmarcSummary `cmd:"" help:"Add up what all reports say about a domain, for each address that sent its mail."`
}

type arfCommands struct {
	List arfList `cmd:"" help:"List the reports that came, the newest first."`
	Show arfShow `cmd:"" help:"Print a report in words, or with --json as data."`
}

// since is how far back reports are looked at.
type since struct {
	Since config.Duration `help:"Only reports that came in this time, as 24h or 7d." default:"30d" placeholder:"TIME"`
}

func (s since) time() time.Time { return time.Now().Add(-s.Since.D()) }

// noReports says why a list may be empty.
func noReports(setting string) string {
	return "no report came in that time; " + setting + " names the addresses that take them"
}

type dmarcList struct{ since }

func (c *dmarcList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		none := noReports("dmarc.receive")
		for r, err := range admin.List[aggregate.Received](e.ctx, client, "dmarc/list", admin.ReportsRequest{Since: c.time()}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(r)
				continue
			}
			e.out.dmarcReport(r)
			none = ""
		}
		e.out.sayUnlessEmpty(none)
		return nil
	})
}

func (p *printer) dmarcReport(r aggregate.Received) {
	var total, failed int64
	for _, row := range r.Report.Rows {
		if total += row.Count; !row.Pass() {
			failed += row.Count
		}
	}
	text := fmt.Sprintf("%d fail", failed)
	if failed > 0 {
		text = p.red(text)
	}
	fmt.Fprintf(p.w, "%s  %s  %s  %s, %s, %s\n", p.dim(r.Name), r.Report.Begin.UTC().Format(time.DateOnly),
		oneLine(r.Report.Organization), oneLine(r.Report.Policy.Domain), counted(total, "message"), text)
}

type dmarcShow struct {
	Name string `arg:"" help:"The report, as list names it."`
}

func (c *dmarcShow) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		r, err := admin.Call[aggregate.Received](e.ctx, client, "dmarc/show", admin.ReportRequest{Name: c.Name})
		if err != nil {
			return err
		}
		if e.out.json {
			e.out.object(r)
			return nil
		}
		fmt.Fprint(e.out.w, r.Report.Text())
		return nil
	})
}

type dmarcSummary struct {
	Domain string `arg:"" optional:"" help:"The domain whose policy record the reports are about. Default: all."`
	since
}

func (c *dmarcSummary) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		none := noReports("dmarc.receive")
		request := admin.SummaryRequest{Domain: c.Domain, Since: c.time()}
		for s, err := range admin.List[aggregate.Summary](e.ctx, client, "dmarc/summary", request) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(s)
				continue
			}
			e.out.dmarcSummary(s)
			none = ""
		}
		e.out.sayUnlessEmpty(none)
		return nil
	})
}

func (p *printer) dmarcSummary(s aggregate.Summary) {
	fmt.Fprintf(p.w, "%s, policy %s: %s, %s to %s\n", oneLine(s.Domain), oneLine(cmp.Or(s.Policy, "none")), counted(s.Reports, "report"),
		s.Begin.UTC().Format(time.DateOnly), s.End.UTC().Format(time.DateOnly))
	fmt.Fprintf(p.w, "%8s %8s %8s %8s %8s %8s  %s\n", "messages", "pass", "DKIM", "SPF", "junked", "rejected", "source")
	line := func(one aggregate.Source, name string) {
		text := fmt.Sprintf("%8d %8d %8d %8d %8d %8d  %s", one.Count, one.Pass, one.DKIM, one.SPF, one.Quarantined, one.Rejected, oneLine(name))
		if one.Pass < one.Count {
			text = p.red(text)
		}
		fmt.Fprintln(p.w, text)
	}
	for _, one := range s.Sources {
		name := one.Address
		if one.Name != "" {
			name += " " + one.Name
		}
		line(one, name)
	}
	line(s.Source, "all")
}

type arfList struct{ since }

func (c *arfList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		none := noReports("arf.receive")
		for r, err := range admin.List[arf.Received](e.ctx, client, "arf/list", admin.ReportsRequest{Since: c.time()}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(r)
				continue
			}
			kind := r.Report.Type
			if r.Report.Failure != "" {
				kind += " (" + r.Report.Failure + ")"
			}
			fmt.Fprintf(e.out.w, "%s  %s  %s  from %s, source %s\n", e.out.dim(r.Name), r.Time.UTC().Format(time.DateTime), oneLine(kind),
				oneLine(cmp.Or(r.Report.Original.From, r.Report.MailFrom, "unknown")), oneLine(cmp.Or(r.Report.Source, "unknown")))
			none = ""
		}
		e.out.sayUnlessEmpty(none)
		return nil
	})
}

type arfShow struct {
	Name string `arg:"" help:"The report, as list names it."`
}

func (c *arfShow) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		r, err := admin.Call[arf.Received](e.ctx, client, "arf/show", admin.ReportRequest{Name: c.Name})
		if err != nil {
			return err
		}
		if e.out.json {
			e.out.object(r)
			return nil
		}
		fmt.Fprint(e.out.w, r.Report.Text())
		return nil
	})
}
