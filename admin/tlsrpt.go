package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"posthaste/deliver/remote/tlsrpt"
)

// A TLSReportRequest names a report as TLSReports lists it.
type TLSReportRequest struct {
	Name string `json:"name"`
}

// TLSReports yields the reports of others about TLS with our domains, the newest first.
func (a *Admin) TLSReports(ctx context.Context) iter.Seq2[tlsrpt.Received, error] {
	stop := errors.New("stop")
	return func(yield func(tlsrpt.Received, error) bool) {
		if a.cfg.TLSReports == nil {
			return
		}
		err := a.cfg.TLSReports.List(ctx, func(r tlsrpt.Received) error {
			if !yield(r, nil) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			yield(tlsrpt.Received{}, err)
		}
	}
}

// TLSReport returns one report.
func (a *Admin) TLSReport(ctx context.Context, r TLSReportRequest) (tlsrpt.Received, error) {
	if a.cfg.TLSReports == nil {
		return tlsrpt.Received{}, tlsrpt.ErrNoReport
	}
	got, err := a.cfg.TLSReports.Show(ctx, r.Name)
	if errors.Is(err, tlsrpt.ErrNoReport) {
		return got, fmt.Errorf("there is no TLS report %q: posthaste tlsrpt list names them", r.Name)
	}
	return got, err
}
