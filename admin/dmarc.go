package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"posthaste/mailauth/arf"
	"posthaste/mailauth/dmarc/aggregate"
	"posthaste/mailauth/reports"
)

// Reports is where the reports of others are kept.
type Reports struct {
	DMARC *aggregate.Inbox
	ARF   *arf.Inbox
	// Name returns the name of an address that leads back to it, or "". It may be nil.
	Name func(ctx context.Context, ip netip.Addr) string
}

// A ReportRequest names a report as its list has it.
type ReportRequest struct {
	Name string `json:"name"`
}

// A ReportsRequest asks for reports that came since a time.
type ReportsRequest struct {
	Since time.Time `json:"since,omitzero"`
}

// A SummaryRequest asks what reports say about a domain, or about all.
type SummaryRequest struct {
	Domain string    `json:"domain,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Bounds of looking for names of sources.
const (
	maxNames  = 50
	namesTime = 5 * time.Second
)

// DMARCReports yields the aggregate reports of others, the newest first.
func (a *Admin) DMARCReports(ctx context.Context, r ReportsRequest) iter.Seq2[aggregate.Received, error] {
	if a.cfg.Reports.DMARC == nil {
		return nothing[aggregate.Received]
	}
	return listed(ctx, r, a.cfg.Reports.DMARC.List)
}

// DMARCReport returns one of them.
func (a *Admin) DMARCReport(ctx context.Context, r ReportRequest) (aggregate.Received, error) {
	if a.cfg.Reports.DMARC == nil {
		return aggregate.Received{}, reports.ErrNone
	}
	got, err := a.cfg.Reports.DMARC.Show(ctx, r.Name)
	return got, explained(err, "dmarc", "DMARC", r.Name)
}

// DMARCSummary adds up what the reports say about each source, with the names of those that sent most.
func (a *Admin) DMARCSummary(ctx context.Context, r SummaryRequest) iter.Seq2[aggregate.Summary, error] {
	return func(yield func(aggregate.Summary, error) bool) {
		if a.cfg.Reports.DMARC == nil {
			return
		}
		all, err := a.cfg.Reports.DMARC.Summarize(ctx, r.Domain, r.Since)
		if err != nil {
			yield(aggregate.Summary{}, err)
			return
		}
		names, cancel := context.WithTimeout(ctx, namesTime)
		defer cancel()
		for _, s := range all {
			a.nameSources(names, s.Sources)
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (a *Admin) nameSources(ctx context.Context, sources []aggregate.Source) {
	if a.cfg.Reports.Name == nil {
		return
	}
	for i := range sources[:min(len(sources), maxNames)] {
		if ip, err := netip.ParseAddr(sources[i].Address); err == nil && ctx.Err() == nil {
			sources[i].Name = a.cfg.Reports.Name(ctx, ip)
		}
	}
}

// ARFReports yields the feedback reports of others, the newest first.
func (a *Admin) ARFReports(ctx context.Context, r ReportsRequest) iter.Seq2[arf.Received, error] {
	if a.cfg.Reports.ARF == nil {
		return nothing[arf.Received]
	}
	return listed(ctx, r, a.cfg.Reports.ARF.List)
}

// ARFReport returns one of them.
func (a *Admin) ARFReport(ctx context.Context, r ReportRequest) (arf.Received, error) {
	if a.cfg.Reports.ARF == nil {
		return arf.Received{}, reports.ErrNone
	}
	got, err := a.cfg.Reports.ARF.Show(ctx, r.Name)
	return got, explained(err, "arf", "feedback", r.Name)
}

func explained(err error, command, kind, name string) error {
	if errors.Is(err, reports.ErrNone) {
		return fmt.Errorf("there is no %s report %q: posthaste %s list names them", kind, name, command)
	}
	return err
}

func nothing[T any](func(T, error) bool) {}

// listed yields what a list calls back with.
func listed[T any](ctx context.Context, r ReportsRequest, list func(context.Context, time.Time, func(T) error) error) iter.Seq2[T, error] {
	stop := errors.New("stop")
	return func(yield func(T, error) bool) {
		err := list(ctx, r.Since, func(one T) error {
			if !yield(one, nil) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			var none T
			yield(none, err)
		}
	}
}
