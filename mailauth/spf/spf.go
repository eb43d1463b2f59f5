// Package spf finds out whether a host may send mail in the name of a domain: the Sender Policy Framework
// of RFC 7208, with the rules of RFC 8616 for international addresses.
//
// [Check] judges the reverse-path, or what the client calls itself when that is null; [CheckHelo] always
// the latter. A record is parsed whole and strictly before any of it is heeded, so that a mistake anywhere
// in it is a permerror. A lookup that fails is a temperror and never a pass or a fail: also where
// RFC 7208 section 5.5 lets the mechanism ptr go on after such a failure, a fail that may owe itself to it
// is not told.
//
// Whatever records say, a check evaluates at most 10 terms that need the DNS (section 4.6.4), follows no
// more than 10 mail exchangers or names of each, gives up after a third lookup without answer and after
// 20 seconds, and reads no record of more than 16 KiB. Macro p counts for nothing against the 10: what it
// needs is looked up once for a check.
//
// Why a result came about is told through package explain. The package keeps nothing between checks (the
// resolver has the cache), applies no policy of ours, writes no Received-SPF field and refuses nothing:
// results go into Authentication-Results (RFC 8601), and [Verdict.Status] has words for who wants to refuse.
package spf

import (
	"context"
	"net/netip"
	"time"

	"posthaste/dns"
	"posthaste/mail"
)

// Limits of a check.
const (
	maxTerms    = 10 // that need the DNS (RFC 7208 section 4.6.4)
	maxVoids    = 2  // of them that may find nothing
	maxNames    = 10 // mail exchangers of one mx, names of one address
	maxRecord   = 16 << 10
	maxExpanded = 64 << 10         // bytes that a macro-string may expand to
	maxTime     = 20 * time.Second // for all of it (section 4.6.4 has 20 s as the least)
)

// A Result is one of those of RFC 7208 section 2.6.
type Result string

// The results.
const (
	None      Result = "none"      // the domain says nothing
	Neutral   Result = "neutral"   // it says that it does not say
	Pass      Result = "pass"      // the host may send its mail
	Fail      Result = "fail"      // the host may not
	SoftFail  Result = "softfail"  // it probably may not
	TempError Result = "temperror" // we could not find out, later we may
	PermError Result = "permerror" // the domain's records cannot be understood
)

// An Identity is whose right to send was checked, by its name in Authentication-Results.
type Identity string

// The identities.
const (
	MailFrom Identity = "mailfrom"
	Helo     Identity = "helo"
)

// A Resolver answers the questions of a check, as *dns.Resolver does. An error that is dns.ErrNotFound
// says that there is nothing; any other, that nobody knows.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
	A(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	AAAA(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error)
	PTR(ctx context.Context, ip netip.Addr) (dns.Answer[string], error)
}

// A Query is what is to be checked.
type Query struct {
	IP       netip.Addr       // of the client
	Helo     string           // what it calls itself
	From     mail.ReversePath // an empty local-part means postmaster
	Hostname string           // ours, for macro r; empty: "unknown"
	Now      time.Time        // for macro t; zero: the time of the check
}

// A Verdict is what came of a check.
type Verdict struct {
	Result   Result   `json:"result"`
	Identity Identity `json:"identity"`
	Domain   string   `json:"domain"` // whose permission was asked for
	IP       string   `json:"ip"`     // for whom
	// Mechanism is the term that decided, as it stands in the record of At: "ip4:192.0.2.0/24". It is
	// empty when none did.
	Mechanism string `json:"mechanism,omitempty"`
	At        string `json:"at,omitempty"`
	// Explanation is what the domain tells those whom it fails (exp=): the words of a stranger, printable
	// ASCII, at most 400 bytes.
	Explanation string `json:"explanation,omitempty"`
	Lookups     int    `json:"lookups"` // questions to the resolver
	Reason      string `json:"reason"`  // one sentence for people, printable ASCII
}

// Check tells whether q.IP may send mail from q.From, or, when that is null, as postmaster of q.Helo
// (RFC 7208 section 2.4).
func Check(ctx context.Context, r Resolver, q Query) Verdict {
	if q.From.Null() || q.From.Domain == "" {
		return CheckHelo(ctx, r, q)
	}
	return check(ctx, r, q, MailFrom, q.From.Local, q.From.Domain)
}

// CheckHelo tells whether q.IP may call itself q.Helo (RFC 7208 section 2.3).
func CheckHelo(ctx context.Context, r Resolver, q Query) Verdict {
	return check(ctx, r, q, Helo, "", q.Helo)
}

func check(ctx context.Context, r Resolver, q Query, identity Identity, local, domain string) Verdict {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if local == "" {
		local = "postmaster" // section 4.3
	}
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	q.IP = q.IP.Unmap().WithZone("")
	c := &checking{resolver: r, query: q, local: local, domain: asciiDomain(domain)}
	return c.verdict(ctx, identity)
}
