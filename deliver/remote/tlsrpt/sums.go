package tlsrpt

import (
	"slices"
	"strings"
)

// Bounds of what is kept of one domain and day.
const (
	maxPolicies = 20  // different policies
	maxDetails  = 100 // different failures of one policy; more of them count in the summary only
	maxReason   = 300 // bytes
)

// sums are the PolicyReports of one domain and day.
type sums []PolicyReport

// add counts a session.
func (s *sums) add(session Session) {
	r := s.of(session.Policy)
	if r == nil {
		return
	}
	if session.Result == "" {
		r.Summary.Successful++
		return
	}
	f := Failure{Result: session.Result, Host: session.Host, Helo: session.Helo, Sessions: 1, Reason: cut(session.Reason)}
	if session.SendingIP.IsValid() {
		f.SendingIP = session.SendingIP.String()
	}
	if session.ReceivingIP.IsValid() {
		f.ReceivingIP = session.ReceivingIP.String()
	}
	r.Summary.Failed++
	r.detail(f)
}

// merge adds others to s.
func (s *sums) merge(others sums) {
	for _, other := range others {
		r := s.of(other.Policy)
		if r == nil {
			continue
		}
		r.Summary.Successful += other.Summary.Successful
		r.Summary.Failed += other.Summary.Failed
		for _, f := range other.Details {
			r.detail(f)
		}
	}
}

// of returns the PolicyReport for p, nil when there are too many.
func (s *sums) of(p Policy) *PolicyReport {
	for i := range *s {
		if have := (*s)[i].Policy; have.Type == p.Type && slices.Equal(have.String, p.String) && slices.Equal(have.MX, p.MX) {
			return &(*s)[i]
		}
	}
	if len(*s) == maxPolicies {
		return nil
	}
	*s = append(*s, PolicyReport{Policy: p})
	return &(*s)[len(*s)-1]
}

func (r *PolicyReport) detail(f Failure) {
	for i := range r.Details {
		same := r.Details[i]
		same.Sessions = f.Sessions
		if same == f {
			r.Details[i].Sessions += f.Sessions
			return
		}
	}
	if len(r.Details) < maxDetails {
		r.Details = append(r.Details, f)
	}
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxReason)], "") }
