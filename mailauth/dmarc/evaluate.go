package dmarc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Bounds of one evaluation.
const (
	maxAuthors = 8   // domains of From that are looked at (section 11.5)
	maxSigners = 100 // signatures that are compared
	maxWalks   = 10  // domains of signatures for whose Organizational Domain the DNS is asked
)

// Input is what is known about a message. Domains may be in any case.
type Input struct {
	// From holds the domains of the From field as [Authors] returns them. It should be one.
	From []string
	// SPF is the result for the MAIL FROM identity (RFC 8601 section 2.7.2) and its domain.
	SPF       string
	SPFDomain string
	// DKIM holds the domains (d=) of the signatures that pass.
	DKIM []string
	// Unsure holds the domains of signatures that may pass: a lookup failed (temperror).
	Unsure []string
}

// Evaluate applies DMARC to a message (section 5.3). A message of several domains passes only if all do,
// and else has the strictest policy of those that fail (section 11.5). Failures of the DNS end as
// TempError, with nothing asked for.
func Evaluate(ctx context.Context, r Resolver, in Input) Result {
	if len(in.From) == 0 {
		return Result{Verdict: PermError, Applied: None, Reason: "There is no From field with a domain, so that nobody can be asked about it."}
	}
	// At the same time: one whose name servers are silent must not use up the time of the others.
	all := make([]Result, min(len(in.From), maxAuthors))
	var asking sync.WaitGroup
	for i, author := range in.From[1:len(all)] {
		asking.Go(func() { all[i+1] = (&evaluation{r: r, in: in, author: canonical(author)}).run(ctx) })
	}
	all[0] = (&evaluation{r: r, in: in, author: canonical(in.From[0])}).run(ctx)
	asking.Wait()
	if len(in.From) > maxAuthors {
		all = append(all, Result{Verdict: PermError, Applied: None,
			Reason: fmt.Sprintf("The From field names %d domains, of which only %d are looked at.", len(in.From), maxAuthors)})
	}
	return worst(all)
}

// worst returns the result that decides about a message of several domains.
func worst(all []Result) Result {
	rank := map[Verdict]int{Fail: 4, TempError: 3, PermError: 2, NoPolicy: 1, Pass: 0}
	return slices.MaxFunc(all, func(a, b Result) int {
		if a.Verdict != b.Verdict {
			return rank[a.Verdict] - rank[b.Verdict]
		}
		return int(a.Applied) - int(b.Applied)
	})
}

// An evaluation is about one domain of From.
type evaluation struct {
	r      Resolver
	in     Input
	author string
	org    string // the Organizational Domain of author; empty until it was looked for
	result Result
}

func (e *evaluation) run(ctx context.Context) Result {
	e.result = Result{Author: e.author, Applied: None}
	if !isDomain(e.author) {
		return e.end(PermError, "The address in From has no domain that could be asked about it.")
	}
	found, err := e.discover(ctx)
	if err != nil {
		return e.end(TempError, "Whether %s has a DMARC policy is not known now: %v.", e.author, err)
	}
	if !found {
		return e.end(NoPolicy, "Neither %s nor a domain above it has a DMARC policy.", e.author)
	}
	if e.result.Record.policyProblem() {
		if len(e.result.Record.Aggregate) == 0 {
			return e.end(PermError, "The DMARC record of %s has no policy that can be read.", e.result.Domain)
		}
		e.result.Policy = None
	} else if e.result.Policy, err = e.policy(ctx); err != nil {
		return e.end(TempError, "Which policy of %s holds for %s is not known now: %v.", e.result.Domain, e.author, err)
	}
	return e.align(ctx)
}

func (e *evaluation) end(v Verdict, format string, args ...any) Result {
	e.result.Verdict, e.result.Reason, e.result.OrgDomain = v, fmt.Sprintf(format, args...), e.org
	return e.result
}

// discover finds the record that holds for the author domain (section 4.10.1): its own, that of its
// Organizational Domain, or that of the public suffix above.
func (e *evaluation) discover(ctx context.Context) (bool, error) {
	own, found, err := lookup(ctx, e.r, e.author)
	if err != nil {
		return false, err
	}
	if found {
		e.result.Domain, e.result.Record = e.author, own
		return true, nil
	}
	nodes, err := walk(ctx, e.r, e.author)
	if err != nil {
		return false, err
	}
	e.org = organizational(e.author, nodes)
	for _, n := range nodes {
		if n.domain == e.org || n.record.PublicSuffix == "y" {
			e.result.Domain, e.result.Record = n.domain, n.record
			return true, nil
		}
	}
	return false, nil
}

// policy chooses the tag that holds for the author domain.
func (e *evaluation) policy(ctx context.Context) (Policy, error) {
	record := e.result.Record
	if e.result.Domain == e.author || record.Subdomains == Unset && record.Nonexistent == Unset {
		return record.Policy, nil
	}
	if record.Nonexistent != Unset {
		there, err := exists(ctx, e.r, e.author)
		if err != nil {
			return Unset, err
		}
		if !there {
			return record.Nonexistent, nil
		}
	}
	if record.Subdomains != Unset {
		return record.Subdomains, nil
	}
	return record.Policy, nil
}

// align compares the author domain with what was authenticated, and decides.
func (e *evaluation) align(ctx context.Context) Result {
	var unknown error
	note := func(method, domain string, strict bool) bool {
		ok, err := e.aligns(ctx, canonical(domain), strict)
		if err != nil {
			unknown = err
		}
		if ok {
			e.result.Aligned = append(e.result.Aligned, Aligned{method, canonical(domain)})
		}
		return ok
	}
	record := e.result.Record
	for _, domain := range e.signers(e.in.DKIM) {
		if note("dkim", domain, record.StrictDKIM) {
			break
		}
	}
	if e.in.SPF == "pass" && e.in.SPFDomain != "" {
		note("spf", e.in.SPFDomain, record.StrictSPF)
	}
	if len(e.result.Aligned) > 0 {
		by := e.result.Aligned[0]
		return e.end(Pass, "%s authenticated %s, which aligns with %s in From.", strings.ToUpper(by.Method), by.Domain, e.author)
	}
	if unknown == nil {
		unknown = e.unsure(ctx)
	}
	if unknown != nil {
		return e.end(TempError, "Whether a domain that is authenticated aligns with %s is not known now: %v.", e.author, unknown)
	}
	e.result.Applied = e.result.effective()
	return e.end(Fail, "%s%s", e.why(), e.asked())
}

// unsure tells that a check which could not be finished might have authenticated a domain that aligns.
func (e *evaluation) unsure(ctx context.Context) error {
	record := e.result.Record
	for _, domain := range e.signers(e.in.Unsure) {
		if ok, err := e.aligns(ctx, canonical(domain), record.StrictDKIM); ok || err != nil {
			return fmt.Errorf("the signature of %s could not be checked", domain)
		}
	}
	if e.in.SPF != "temperror" || e.in.SPFDomain == "" {
		return nil
	}
	if ok, err := e.aligns(ctx, canonical(e.in.SPFDomain), record.StrictSPF); ok || err != nil {
		return fmt.Errorf("SPF of %s could not be checked", e.in.SPFDomain)
	}
	return nil
}

// signers returns the domains of signatures that can align at all, each once, those that need no lookup
// first, within bounds.
func (e *evaluation) signers(domains []string) []string {
	var same, others []string
	for _, domain := range domains[:min(len(domains), maxSigners)] {
		domain = canonical(domain)
		switch {
		case domain == e.author:
			same = []string{domain}
		case len(others) < maxWalks && related(domain, e.author) && !slices.Contains(others, domain):
			others = append(others, domain)
		}
	}
	return append(same, others...)
}

// related tells whether two domains have their last label in common: others never align.
func related(a, b string) bool {
	return a[strings.LastIndexByte(a, '.')+1:] == b[strings.LastIndexByte(b, '.')+1:]
}

// aligns compares a domain that was authenticated with the author domain (section 4.10.2).
func (e *evaluation) aligns(ctx context.Context, domain string, strict bool) (bool, error) {
	if domain == e.author {
		return true, nil
	}
	if strict || !isDomain(domain) || !related(domain, e.author) {
		return false, nil
	}
	if e.org == "" {
		org, err := OrgDomain(ctx, e.r, e.author)
		if err != nil {
			return false, err
		}
		e.org = org
	}
	// The Organizational Domain is the domain itself or above it: where that of the author is neither,
	// no lookup changes it.
	if domain != e.org && !strings.HasSuffix(domain, "."+e.org) {
		return false, nil
	}
	org, err := OrgDomain(ctx, e.r, domain)
	return org == e.org, err
}

// why says what keeps a message from passing.
func (e *evaluation) why() string {
	spf := "SPF authenticated no domain"
	if e.in.SPF == "pass" && e.in.SPFDomain != "" {
		spf = "SPF authenticated " + canonical(e.in.SPFDomain)
	}
	dkim := "no signature passes"
	if n := len(e.in.DKIM); n > 0 {
		dkim = "DKIM authenticated " + strings.Join(e.in.DKIM[:min(n, 3)], ", ")
		if n > 3 {
			dkim += fmt.Sprintf(" and %d more", n-3)
		}
	}
	return fmt.Sprintf("%s, %s: none aligns with %s in From.", spf, dkim, e.author)
}

// asked says what the owner wants done.
func (e *evaluation) asked() string {
	switch {
	case e.result.Policy <= None:
		return fmt.Sprintf(" %s asks for nothing to be done.", e.result.Domain)
	case e.result.Record.Test:
		return fmt.Sprintf(" %s asks for %s and says that this is a test, so that %s is applied.", e.result.Domain, e.result.Policy, e.result.Applied)
	}
	return fmt.Sprintf(" %s asks for %s.", e.result.Domain, e.result.Policy)
}
