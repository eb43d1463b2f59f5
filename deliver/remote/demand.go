package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"posthaste/deliver/remote/dane"
	"posthaste/deliver/remote/mtasts"
	"posthaste/deliver/remote/tlsrpt"
	"posthaste/dns"
	"posthaste/mail"
)

// A demand is what one host must show before it gets a message. The first of these that has something to
// say decides:
//
//  1. a Destination's own TLS, for smarthosts and the like;
//  2. "TLS-Required: no" of the message, which makes it opportunistic (RFC 8689 section 4.1);
//  3. the table of policies;
//  4. DANE, where DNSSEC proves the names and the host has TLSA records (RFC 7672);
//  5. MTA-STS (RFC 8461);
//  6. else it is opportunistic.
type demand struct {
	level        TLSPolicy
	names        []string       // of the certificate, for Verified and Implicit
	fingerprints [][]byte       // of the certificate, instead of names
	dane         *dane.Policy   // which the handshake must meet, instead of both
	sts          *mtasts.Policy // which holds, or in mode testing is only measured
	proven       bool           // that the host is one of the domain's was not learnt from plain DNS (RFC 8689 section 4.2.1)
	report       tlsrpt.Policy  // empty Domain: nobody counts this session
	why          string         // for people: who asks for it; empty where nobody does
}

// demandOf decides what host h, which has the addresses, must show for j. The failure is of the host.
func (a *Agent) demandOf(ctx context.Context, j *job, h Host, addrs dns.Answer[netip.Addr]) (demand, *failure) {
	dest := j.dest
	d := demand{level: dest.TLS, names: []string{certificateName(h)}, proven: dest.Domain == "" || dest.mx == dns.Secure}
	switch {
	case h.Socket != "" || dest.TLS != Opportunistic:
		if dest.TLS != Opportunistic && dest.TLS != Plaintext {
			d.why = "the configuration"
		}
		return d, nil
	case j.env.TLSOptional:
		return d, nil
	}
	if dest.Domain != "" {
		d.report = tlsrpt.Policy{Type: tlsrpt.TypeNone, Domain: dest.Domain}
	}
	if dest.policy.rule != ruleAuto {
		return a.demandOfTable(ctx, dest, h, addrs, d)
	}
	p := a.dane(ctx, dest, h, addrs)
	switch p.Mode {
	case dane.Skip:
		return d, a.daneFailed(j, h, p)
	case dane.Encrypt, dane.Authenticate:
		return d.byDANE(p), nil
	}
	if sts := dest.policy.sts; sts != nil {
		return a.demandOfSTS(j, h, sts, d)
	}
	return d, nil
}

// demandOfTable reads the entry of the table of policies.
func (a *Agent) demandOfTable(ctx context.Context, dest Destination, h Host, addrs dns.Answer[netip.Addr], d demand) (demand, *failure) {
	d.why = "the TLS policy table"
	switch dest.policy.rule {
	case ruleNone:
		d.level, d.why = Plaintext, ""
		d.report = tlsrpt.Policy{}
	case ruleMay:
		d.why = ""
	case ruleEncrypt:
		d.level = Encrypted
	case ruleVerify:
		d.level = Verified
		if len(dest.policy.match) > 0 {
			d.names, d.proven = dest.policy.match, true
		}
	case ruleFingerprint:
		d.level, d.fingerprints, d.proven = Verified, dest.policy.fingerprints, true
	case ruleDANE, ruleDANEOnly:
		p := a.dane(ctx, dest, h, addrs)
		switch {
		case p.Mode == dane.Encrypt && dest.policy.rule == ruleDANE, p.Mode == dane.Authenticate:
			return d.byDANE(p), nil
		case p.Mode == dane.Skip || dest.policy.rule == ruleDANEOnly:
			return d, &failure{mail.NewStatus(451, "4.7.5", "%s: the TLS policy table asks for DANE: %s", h.Name, p.Reason)}
		}
		d.level = Encrypted
	}
	return d, nil
}

// byDANE returns d for a host whose TLSA records count (RFC 7672 section 2.2).
func (d demand) byDANE(p dane.Policy) demand {
	d.level, d.dane, d.why, d.proven = Encrypted, &p, "DANE", p.Mode == dane.Authenticate
	d.report.Type, d.report.String = tlsrpt.TypeTLSA, nil
	for _, r := range p.Records {
		d.report.String = append(d.report.String, fmt.Sprintf("%d %d %d %X", r.Usage, r.Selector, r.Matching, r.Data))
	}
	return d
}

// demandOfSTS reads a policy of MTA-STS (RFC 8461 sections 4 and 5).
func (a *Agent) demandOfSTS(j *job, h Host, sts *mtasts.Policy, d demand) (demand, *failure) {
	d.sts = sts
	d.report.Type, d.report.String, d.report.MX = tlsrpt.TypeSTS, sts.Text, sts.MX
	if sts.Mode != mtasts.Enforce {
		return d, nil
	}
	d.level, d.why, d.proven = Verified, "MTA-STS", true
	if sts.Matches(h.Name) {
		return d, nil
	}
	fail := &failure{mail.NewStatus(451, "4.7.5", "%s: the MTA-STS policy of %s does not list this host, only %s", h.Name, sts.Domain, strings.Join(sts.MX, ", "))}
	a.reportSession(d, tlsrpt.Session{Result: tlsrpt.ValidationFailure, Host: h.Name, Reason: "the policy does not list this host"})
	return d, fail
}

// dane asks for the DANE policy of a host.
func (a *Agent) dane(ctx context.Context, dest Destination, h Host, addrs dns.Answer[netip.Addr]) dane.Policy {
	switch {
	case a.cfg.DANE == nil:
		return dane.Policy{Reason: "no resolver proves answers by DNSSEC here"}
	case len(h.Addrs) > 0 || h.Socket != "":
		return dane.Policy{Reason: "the host is known by address, not by name"}
	}
	q := dane.Query{Domain: dest.Domain, Expanded: dest.expanded, MX: dest.mx, Host: h.Name, Port: portFor(dest, h), Addrs: addrs}
	if q.Domain == "" { // told by the operator, so there is no MX record to doubt
		q.Domain, q.MX = h.Name, dns.Secure
	}
	return dane.Lookup(ctx, a.cfg.DANE, q)
}

func (a *Agent) daneFailed(j *job, h Host, p dane.Policy) *failure {
	d := demand{report: tlsrpt.Policy{Type: tlsrpt.TypeTLSA, Domain: j.dest.Domain}}
	s := tlsrpt.Session{Result: tlsrpt.ValidationFailure, Host: h.Name, Reason: p.Reason}
	if p.Failure != nil && p.Failure.Result != "" {
		s.Result = p.Failure.Result
	}
	a.reportSession(d, s)
	return &failure{mail.NewStatus(451, "4.7.5", "%s: %s", h.Name, p.Reason)}
}

// certificateName is what a certificate of h is for.
func certificateName(h Host) string {
	if len(h.Addrs) > 0 {
		return h.Addrs[0].String()
	}
	return h.Name
}

// check tells whether what the host showed proves who it is, as d has it.
func (d demand) check(state tls.ConnectionState, cfg *tls.Config) error {
	switch {
	case d.dane != nil && d.dane.Mode == dane.Authenticate:
		return d.dane.Verify(state.PeerCertificates, time.Now())
	case len(d.fingerprints) > 0:
		return verifyFingerprint(state, d.fingerprints)
	}
	return verifyNames(state, cfg, d.names)
}

// strict tells whether a failed check ends the session.
func (d demand) strict() bool {
	return d.level == Verified || d.level == Implicit || d.dane != nil && d.dane.Mode == dane.Authenticate
}

// resultOf names a failed check in the words of RFC 8460 section 4.3.
func resultOf(err error) string {
	var (
		byDANE *dane.Failure
		name   x509.HostnameError
		cert   x509.CertificateInvalidError
		root   x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &byDANE) && byDANE.Result != "":
		return byDANE.Result
	case errors.As(err, &name):
		return tlsrpt.HostMismatch
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return tlsrpt.CertificateExpired
	case errors.As(err, &cert), errors.As(err, &root):
		return tlsrpt.NotTrusted
	}
	return tlsrpt.ValidationFailure
}

// reportSession counts a session, unless nobody does.
func (a *Agent) reportSession(d demand, s tlsrpt.Session) {
	if a.cfg.TLSReports == nil || d.report.Domain == "" {
		return
	}
	s.Policy = d.report
	a.cfg.TLSReports.Record(s)
}

// reportPolicyFailure counts that a policy of MTA-STS could not be had (RFC 8460 section 4.3.2.2).
func (a *Agent) reportPolicyFailure(domain string, found mtasts.Result) {
	d := demand{report: tlsrpt.Policy{Type: tlsrpt.TypeSTS, Domain: domain}}
	if found.Policy != nil {
		d.report.String, d.report.MX = found.Policy.Text, found.Policy.MX
	}
	a.reportSession(d, tlsrpt.Session{Result: found.Failure.Type, Reason: found.Failure.Reason})
}

// countTLS counts how the session's TLS went, once it is known. In mode testing of MTA-STS, and without
// any policy, what failed here harmed nobody.
func (a *Agent) countTLS(s *session) {
	r := tlsrpt.Session{Host: s.host.Name, Helo: s.ext.name, ReceivingIP: s.addr.Addr(), SendingIP: s.conn.LocalAddr().Addr()}
	d := s.demand
	switch {
	case s.secured == "" && s.handshake != nil:
		r.Result, r.Reason = resultOf(s.handshake), plain(s.handshake)
	case s.secured == "":
		r.Result, r.Reason = tlsrpt.StartTLSNotSupported, "no STARTTLS"
	case d.sts != nil && !d.sts.Matches(s.host.Name):
		r.Result, r.Reason = tlsrpt.ValidationFailure, "the policy does not list this host"
	case s.verified != nil && (d.sts != nil || d.strict()):
		r.Result, r.Reason = resultOf(s.verified), s.verified.Error()
	}
	a.reportSession(d, r)
}
