package main

import (
	"fmt"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/deliver/remote/tlsrpt"
)

type tlsrptCommands struct {
	List tlsrptList `cmd:"" help:"List the reports that came, the newest first."`
	Show tlsrptShow `cmd:"" help:"Print a report in words, or with --json as it came."`
}

type tlsrptList struct{}

func (c *tlsrptList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		none := "no report came; tlsrpt.receive names the address that takes them"
		for r, err := range admin.List[tlsrpt.Received](e.ctx, client, "tlsrpt/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(r)
				continue
			}
			e.out.tlsReport(r)
			none = ""
		}
		e.out.sayUnlessEmpty(none)
		return nil
	})
}

// tlsReport prints a line for each domain of a report.
func (p *printer) tlsReport(r tlsrpt.Received) {
	for _, policy := range r.Report.Policies {
		failed := fmt.Sprintf("%d failed", policy.Summary.Failed)
		if policy.Summary.Failed > 0 {
			failed = p.red(failed)
		}
		fmt.Fprintf(p.w, "%s  %s  %s  %s, %d succeeded, %s\n", p.dim(r.Name), r.Report.Range.Start.UTC().Format(time.DateOnly),
			oneLine(r.Report.Organization), oneLine(policy.Policy.Domain), policy.Summary.Successful, failed)
	}
}

// oneLine keeps a stranger's words from moving the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

type tlsrptShow struct {
	Name string `arg:"" help:"The report, as list names it."`
}

func (c *tlsrptShow) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		r, err := admin.Call[tlsrpt.Received](e.ctx, client, "tlsrpt/show", admin.TLSReportRequest{Name: c.Name})
		if err != nil {
			return err
		}
		if e.out.json {
			e.out.object(r)
			return nil
		}
		fmt.Fprint(e.out.w, strings.ReplaceAll(r.Report.Text(), "\r\n", "\n"))
		return nil
	})
}
