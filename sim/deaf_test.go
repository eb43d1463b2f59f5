package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"posthaste/admin"
	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// Bounds of one message when the DNS gives no evidence: the first pay for finding out, those after them
// nothing, unless the name server lives and each name is another that it is silent about.
const (
	deafFirst = 4500 * time.Millisecond
	deafNext  = 500 * time.Millisecond
)

// silence is a name server that never replies.
func silence(ctx context.Context, _, _ string, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// refusal is a host on which no name server listens.
func refusal(context.Context, string, string, []byte) ([]byte, error) {
	return nil, errors.New("connection refused")
}

// hollow returns a name server that lives, replies about the root, and is silent about all else.
func hollow(zones *dnstest.Server) dns.Exchange {
	return func(ctx context.Context, network, server string, query []byte) ([]byte, error) {
		var m wire.Msg
		if m.Unpack(query) == nil && len(m.Question) == 1 && m.Question[0].Name == "." {
			return zones.Exchange(ctx, network, server, query)
		}
		return silence(ctx, network, server, query)
	}
}

// drip returns a name server whose replies do not fit into datagrams and never end over TCP.
func drip(zones *dnstest.Server) dns.Exchange {
	zones.SetFault(".", dnstest.Fault{Kind: dnstest.Truncate})
	return func(ctx context.Context, network, server string, query []byte) ([]byte, error) {
		if network == "udp" {
			return zones.Exchange(ctx, network, server, query)
		}
		return silence(ctx, network, server, query)
	}
}

// A deafness is a way in which the DNS gives no evidence.
type deafness struct {
	name     string
	exchange func(*dnstest.Server) dns.Exchange
	next     time.Duration // bound of each message but the first
}

// TestWithoutDNSMailIsTakenSoon sends messages, each of another sender with another signature and other
// links, while the DNS does not work.
func TestWithoutDNSMailIsTakenSoon(t *testing.T) {
	for _, c := range []deafness{
		{"refused", func(*dnstest.Server) dns.Exchange { return refusal }, deafNext},
		{"silent", func(*dnstest.Server) dns.Exchange { return silence }, deafNext},
		{"alive, silent about all names", hollow, deafFirst},
		{"drips over TCP", drip, deafFirst},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

// check sends messages and logs what each took.
func (c deafness) check(t *testing.T) {
	zones := dnstest.New()
	s := newTarget(t, zones, c.exchange(zones))
	var took []time.Duration
	for i := range small(2, 4) {
		from := fmt.Sprintf("bob@evil%d.test", i)
		content := strings.ReplaceAll(signed(3, "http://link.test/\r\n", false), "evil.test", fmt.Sprintf("evil%d.test", i))
		began := time.Now()
		reply := s.send(from, content, "ann@north.test")
		took = append(took, time.Since(began).Round(time.Millisecond))
		if !strings.HasPrefix(reply, "250") {
			t.Errorf("%s: message %d is answered %q", c.name, i, reply)
		}
		if bound := map[bool]time.Duration{true: deafFirst, false: c.next}[i == 0]; took[i] > bound*slack()/2 {
			t.Errorf("%s: message %d took %v", c.name, i, took[i])
		}
		s.wantNoEvidence(c.name, reply[strings.LastIndexByte(reply, ' ')+1:])
	}
	t.Logf("one message after the other took %v", took)
}

// wantNoEvidence looks up a verdict: what could not be asked is told, and counts nothing.
func (s *target) wantNoEvidence(name, id string) {
	s.t.Helper()
	events, err := s.node.Admin().Verdicts(s.t.Context(), admin.VerdictRequest{Key: id})
	if err != nil || len(events) == 0 {
		s.t.Errorf("%s: no verdict of %s: %v", name, id, err)
		return
	}
	told := 0
	for _, f := range events[0].Verdict.Findings {
		if strings.HasSuffix(f.Rule, "_UNKNOWN") {
			told++
			if f.Weight != 0 {
				s.t.Errorf("%s: %s counts %v", name, f.Rule, f.Weight)
			}
		}
	}
	if told < 3 {
		s.t.Errorf("%s: the verdict does not tell that nobody could be asked: %+v", name, events[0].Verdict.Findings)
	}
}
