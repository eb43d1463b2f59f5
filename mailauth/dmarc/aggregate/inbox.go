package aggregate

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"posthaste/kv"
	"posthaste/mailauth/reports"
)

// An Inbox keeps the reports that others send about our domains.
type Inbox struct {
	*reports.Inbox[Report]
}

// A Received is a report with its name in the Inbox and when it came.
type Received = reports.Kept[Report]

// NewInbox returns the Inbox in a store.
func NewInbox(store kv.Store) *Inbox { return &Inbox{reports.New[Report](store, "dmarc/in")} }

// Receive keeps the report that a message brings; one that came before is not kept twice. An error that
// is of the message, not of the store, is not worth another attempt.
func (in *Inbox) Receive(ctx context.Context, content []byte, now time.Time) (Received, error) {
	r, err := Extract(content)
	if err != nil {
		return Received{}, err
	}
	for {
		got, err := in.Put(ctx, r.Organization+"\x00"+r.ID+"\x00"+r.Policy.Domain, r, now)
		if !errors.Is(err, reports.ErrTooLarge) || len(r.Rows) == 0 {
			return got, err
		}
		for _, row := range r.Rows[len(r.Rows)/2:] {
			r.Omitted += row.Count
		}
		r.Rows = r.Rows[:len(r.Rows)/2]
	}
}

// maxSources bounds how many addresses a Summary tells apart.
const maxSources = 10_000

// A Summary adds up what reports say about one domain.
type Summary struct {
	Domain  string    `json:"domain"` // of the policy record
	Policy  string    `json:"policy"` // in the latest report
	Reports int       `json:"reports"`
	Begin   time.Time `json:"begin"`
	End     time.Time `json:"end"`
	Source
	Sources []Source `json:"sources"` // most messages first
}

// A Source is how the messages from one address fared, or all.
type Source struct {
	Address     string `json:"source,omitempty"`
	Name        string `json:"name,omitempty"` // of the address, where it is known and leads back to it
	Count       int64  `json:"count"`
	DKIM        int64  `json:"dkim"` // with a signature that aligns
	SPF         int64  `json:"spf"`  // with a reverse-path that aligns
	Pass        int64  `json:"pass"`
	Quarantined int64  `json:"quarantined"`
	Rejected    int64  `json:"rejected"`
}

func (s *Source) add(r Row) {
	s.Count += r.Count
	if r.DKIM == "pass" {
		s.DKIM += r.Count
	}
	if r.SPF == "pass" {
		s.SPF += r.Count
	}
	if r.Pass() {
		s.Pass += r.Count
	}
	switch r.Disposition {
	case "quarantine":
		s.Quarantined += r.Count
	case "reject":
		s.Rejected += r.Count
	}
}

// Summarize adds up the reports that came at since or later, for each domain, or for one.
func (in *Inbox) Summarize(ctx context.Context, domain string, since time.Time) ([]Summary, error) {
	sums := make(map[string]*summing)
	err := in.List(ctx, since, func(k Received) error {
		r := k.Report
		if domain != "" && r.Policy.Domain != domain {
			return nil
		}
		s := sums[r.Policy.Domain]
		if s == nil {
			s = &summing{Summary: Summary{Domain: r.Policy.Domain, Policy: r.Policy.P, Begin: r.Begin, End: r.End}, sources: make(map[string]*Source)}
			sums[r.Policy.Domain] = s
		}
		s.add(r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, s := range sums {
		all = append(all, s.finish())
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Compare(a.Domain, b.Domain) })
	return all, nil
}

type summing struct {
	Summary
	sources map[string]*Source
}

func (s *summing) add(r Report) {
	s.Reports++
	if r.Begin.Before(s.Begin) {
		s.Begin = r.Begin
	}
	if r.End.After(s.End) {
		s.End = r.End
	}
	s.Count += r.Omitted
	for _, row := range r.Rows {
		s.Source.add(row)
		address := row.Source
		if ip, err := netip.ParseAddr(address); err == nil {
			address = ip.Unmap().String()
		}
		one := s.sources[address]
		if one == nil {
			if len(s.sources) == maxSources {
				continue
			}
			one = &Source{Address: address}
			s.sources[address] = one
		}
		one.add(row)
	}
}

func (s *summing) finish() Summary {
	for _, one := range s.sources {
		s.Sources = append(s.Sources, *one)
	}
	slices.SortFunc(s.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Address, b.Address))
	})
	return s.Summary
}
