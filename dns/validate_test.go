package dns_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

func TestValidation(t *testing.T) {
	server := world(t)
	_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
	for _, c := range claims {
		got, err := verdict(t, r, c.qtype, c.name)
		if got != c.want {
			t.Errorf("%s %s: %s (%v), want %s", c.qtype, c.name, got, err, c.want)
		} else if err != nil {
			t.Logf("%v", err)
		}
	}
}

func TestServerWithoutDNSSECIsNamed(t *testing.T) {
	server := world(t)
	server.SetOblivious(true)
	_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
	if _, err := r.MX(t.Context(), "good.test"); err == nil || !strings.Contains(err.Error(), "leaves out the signatures") {
		t.Errorf("MX: %v", err)
	}
	if err := r.CanValidate(t.Context()); err == nil {
		t.Error("CanValidate: nothing wrong")
	}
}

func TestPlainLookupsProveNothing(t *testing.T) {
	server := world(t)
	_, r := newPair(t, dns.Config{Exchange: server.Exchange, Anchors: []string{server.Anchor(".")}})
	if got, err := verdict(t, r, "MX", "badsig.test"); got != "insecure found" {
		t.Errorf("%s, %v", got, err)
	}
	if n := server.Queries("DNSKEY", "badsig.test"); n > 0 {
		t.Errorf("%d questions for keys", n)
	}
	if got, err := verdict(t, r.Validating(), "MX", "badsig.test"); got != "bogus" {
		t.Errorf("validating, from the same cache: %s, %v", got, err)
	}
}

func TestKeysAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := world(t)
		_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
		for _, name := range []string{"good.test", "mx.good.test", "void.good.test", "x.wild.good.test"} {
			if got, err := verdict(t, r, "MX", name); !strings.HasPrefix(got, "secure") {
				t.Errorf("%s: %s, %v", name, got, err)
			}
		}
		for _, zone := range []string{".", "test", "good.test"} {
			if n := server.Queries("DNSKEY", zone); n != 1 {
				t.Errorf("asked %d times for the keys of %s", n, zone)
			}
		}
		time.Sleep(10 * 24 * time.Hour) // all signatures have expired and were renewed
		if got, err := verdict(t, r, "MX", "good.test"); got != "secure found" || server.Queries("DNSKEY", ".") != 2 {
			t.Errorf("after ten days: %s, %v", got, err)
		}
	})
}

func TestAnotherRootProvesNothing(t *testing.T) {
	server, other := world(t), dnstest.New()
	if err := other.Sign(".", dnstest.Signing{}); err != nil {
		t.Fatal(err)
	}
	_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{other.Anchor(".")}})
	if got, err := verdict(t, r, "MX", "good.test"); got != "bogus" {
		t.Errorf("%s, %v", got, err)
	}
}

// FuzzChangedRepliesAreNeverSecure changes the reply to one query of a lookup: what is still called secure
// is the truth.
func FuzzChangedRepliesAreNeverSecure(f *testing.F) {
	server := world(f)
	anchors := []string{server.Anchor(".")}
	for n := range 8 {
		f.Add(byte(n), byte(n), uint16(13*n+3), []byte{1}, true)
		f.Add(byte(n), byte(3*n), uint16(40+n*31), []byte{0xff, 0, 7}, false)
	}
	names := []string{"good.test", "mx.nsec3.test", "x.wild.good.test", "void.nsec3.test", "x.wild.nsec3.test", "to-good.nsec3.test", "plain.good.test", "void.test"}
	truth := make(map[string]string)
	_, honest := newPair(f, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: anchors})
	found := func(r *dns.Resolver, name string) (text string, security dns.Security) {
		a, err := r.MX(context.Background(), name)
		var fail *dns.Error
		switch {
		case err == nil:
			for _, mx := range a.Records {
				text += mx.Host + " "
			}
			return text, a.Security
		case errors.As(err, &fail) && errors.Is(err, dns.ErrNotFound):
			return fail.Err.Error(), fail.Security
		}
		return err.Error(), dns.Bogus
	}
	for _, name := range names {
		truth[name], _ = found(honest, name)
	}
	f.Fuzz(func(t *testing.T, which, query byte, at uint16, with []byte, cut bool) {
		name := names[int(which)%len(names)]
		asked := 0
		change := func(ctx context.Context, network, address string, q []byte) ([]byte, error) {
			reply, err := server.Exchange(ctx, network, address, q)
			asked++
			if err != nil || asked != int(query)%12+1 || len(reply) < 13 {
				return reply, err
			}
			reply = slices.Clone(reply)
			i := 2 + int(at)%(len(reply)-2)
			for j, b := range with[:min(len(with), 64)] {
				if i+j < len(reply) {
					reply[i+j] ^= b
				}
			}
			if cut {
				reply = append(reply[:i:i], reply[min(len(reply), i+len(with)):]...)
			}
			return reply, nil
		}
		_, r := newPair(t, dns.Config{Exchange: change, Validate: true, Anchors: anchors, Timeout: 5 * time.Second})
		got, security := found(r, name)
		if security == dns.Secure && got != truth[name] {
			t.Errorf("%s: %q is called secure, the truth is %q", name, got, truth[name])
		}
		if asked > 200 {
			t.Errorf("%s took %d questions", name, asked)
		}
	})
}
