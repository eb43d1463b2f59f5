package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"posthaste/dns"
	"posthaste/filter/dnsbl"
)

// dnsblTime bounds the tests of lists that nobody has tested yet, and the questions of a check.
const dnsblTime = 10 * time.Second

// errNoLists is why there is nothing to tell about lists.
var errNoLists = errors.New("the configuration names no list: see [[dnsbl]]")

// DNSBLList yields how the lists in the DNS fare. Those that were not tested yet, as where no node runs, are
// tested first.
func (a *Admin) DNSBLList(ctx context.Context) iter.Seq2[dnsbl.Status, error] {
	return func(yield func(dnsbl.Status, error) bool) {
		for _, s := range a.testedLists(ctx) {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (a *Admin) testedLists(ctx context.Context) []dnsbl.Status {
	if a.cfg.DNSBL == nil {
		return nil
	}
	all := a.cfg.DNSBL.Status()
	if slices.ContainsFunc(all, func(s dnsbl.Status) bool { return s.State == dnsbl.Untested }) {
		ctx, cancel := context.WithTimeout(ctx, dnsblTime)
		defer cancel()
		a.cfg.DNSBL.Test(ctx, false)
		all = a.cfg.DNSBL.Status()
	}
	return all
}

// A DNSBLRequest asks what lists say about an address or a domain.
type DNSBLRequest struct {
	Subject string `json:"subject"`
}

// A DNSBLAnswer is what they say.
type DNSBLAnswer struct {
	Entries []DNSBLEntry    `json:"entries"`
	Failed  []dnsbl.Failure `json:"failed"`
	Lists   []dnsbl.Status  `json:"lists"` // all, also those that were not asked
}

// A DNSBLEntry is an entry with the words of its list.
type DNSBLEntry struct {
	dnsbl.Hit
	Text string `json:"text,omitempty"` // why, as the list says it
}

// DNSBLCheck asks the lists about an address or a domain.
func (a *Admin) DNSBLCheck(ctx context.Context, r DNSBLRequest) (answer DNSBLAnswer, err error) {
	if a.cfg.DNSBL == nil {
		return answer, errNoLists
	}
	if answer.Lists = a.testedLists(ctx); len(answer.Lists) == 0 {
		return answer, errNoLists
	}
	var s dnsbl.Subject
	if s.Client, err = netip.ParseAddr(r.Subject); err != nil {
		if !dns.IsHostName(r.Subject) {
			return answer, fmt.Errorf("%q is neither an address nor a domain", r.Subject)
		}
		for _, role := range []dnsbl.Role{dnsbl.URL, dnsbl.From, dnsbl.Sender, dnsbl.Helo} {
			s.Names = append(s.Names, dnsbl.Name{Role: role, Domain: r.Subject})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dnsblTime)
	defer cancel()
	report := a.cfg.DNSBL.Check(ctx, s)
	answer.Failed = report.Failed
	for _, h := range report.Hits {
		text, err := a.cfg.DNSBL.Reason(ctx, h)
		if err != nil {
			text = "" // the entry is what counts
		}
		answer.Entries = append(answer.Entries, DNSBLEntry{h, text})
	}
	return answer, nil
}
