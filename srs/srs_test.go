package srs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthaste/mail"
)

var (
	day    = 24 * time.Hour
	now    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	secret = bytes.Repeat([]byte("s"), MinSecret)
)

func rewriter(t testing.TB, domain string, secrets ...[]byte) *Rewriter {
	t.Helper()
	r, err := New(Config{Domain: domain, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func from(local, domain string) mail.ReversePath {
	return mail.ReversePath{Address: mail.Address{Local: local, Domain: domain}}
}

func TestForwardAndBack(t *testing.T) {
	north := rewriter(t, "north.test", secret)
	sender := from("Ann.b+c=d", "south.test")
	path := north.Forward(sender, now)
	if path.Domain != "north.test" || !strings.HasPrefix(path.Local, "SRS0=") || !strings.HasSuffix(path.Local, "=south.test=Ann.b+c=d") {
		t.Errorf("forwarded as %s", path)
	}
	if got, err := north.Reverse(path.Address, now.Add(DefaultMaxAge)); got != sender.Address || err != nil {
		t.Errorf("%s leads back to %s, %v", path, got, err)
	}
	if again := north.Forward(path, now); again != path {
		t.Errorf("our own return path became %s", again)
	}
}

func TestReverse(t *testing.T) {
	north := rewriter(t, "north.test", secret)
	path := north.Forward(from("Ann", "south.test"), now).Address
	ann, lower := mail.Address{Local: "Ann", Domain: "south.test"}, mail.Address{Local: "ann", Domain: "south.test"}
	for _, c := range []struct {
		claim string
		local string
		at    time.Time
		want  mail.Address
		err   error
	}{
		{"as it was", path.Local, now, ann, nil},
		{"in lower case", strings.ToLower(path.Local), now, lower, nil},
		{"with another separator after the tag", strings.Replace(path.Local, "=", "+", 1), now, ann, nil},
		{"by a host whose clock is a day behind", path.Local, now.Add(-day), ann, nil},
		{"after its time", path.Local, now.Add(DefaultMaxAge + day), mail.Address{}, ErrExpired},
		{"made in the far future", path.Local, now.Add(-3 * day), mail.Address{}, ErrExpired},
		{"for another sender", strings.Replace(path.Local, "Ann", "eve", 1), now, mail.Address{}, ErrForged},
		{"for another domain", strings.Replace(path.Local, "south", "sauth", 1), now, mail.Address{}, ErrForged},
		{"without signature", "SRS0==AA=south.test=ann", now, mail.Address{}, ErrForged},
		{"signed with a part of the signature", path.Local[:9] + path.Local[13:], now, mail.Address{}, ErrForged},
		{"cut off", path.Local[:13], now, mail.Address{}, ErrNone},
		{"an ordinary address", "ann", now, mail.Address{}, ErrNone},
		{"almost one", "srs0ann", now, mail.Address{}, ErrNone},
	} {
		got, err := north.Reverse(mail.Address{Local: c.local, Domain: "north.test"}, c.at)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s leads to %v, %v; want %v, %v", c.claim, c.local, got, err, c.want, c.err)
		}
	}
	if _, err := north.Reverse(mail.Address{Local: path.Local, Domain: "south.test"}, now); !errors.Is(err, ErrNone) {
		t.Errorf("another host's return path: %v, want ErrNone", err)
	}
}

// However many hosts forward, each address leads back to the first of them in one step, and there to
// the sender.
// TestATagCannotBeExchanged: a text that we signed under one tag leads elsewhere under the other.
func TestATagCannotBeExchanged(t *testing.T) {
	north := rewriter(t, "north.test", secret)
	for _, sender := range []mail.ReversePath{from("ann", "south.test"), from("SRS0=x=tt=south.test=ann", "relay.test")} {
		path := north.Forward(sender, now).Address
		other := map[string]string{tagFirst: tagAgain, tagAgain: tagFirst}[path.Local[:4]]
		path.Local = other + path.Local[4:]
		if got, err := north.Reverse(path, now); !errors.Is(err, ErrForged) {
			t.Errorf("%s leads to %s, %v; want %v", path, got, err, ErrForged)
		}
	}
}

func TestManyHosts(t *testing.T) {
	hosts := []*Rewriter{rewriter(t, "one.test", secret), rewriter(t, "two.test", secret), rewriter(t, "three.test", secret)}
	path := from("ann", "south.test")
	for _, h := range hosts {
		path = h.Forward(path, now)
	}
	if path.Domain != "three.test" || !strings.HasPrefix(path.Local, "SRS1=") || strings.Contains(path.Local, "two.test") {
		t.Errorf("the third host forwards as %s", path)
	}
	back, err := hosts[2].Reverse(path.Address, now.Add(90*day))
	if err != nil || back.Domain != "one.test" {
		t.Fatalf("it leads back to %s, %v", back, err)
	}
	if got, err := hosts[0].Reverse(back, now); err != nil || got != (mail.Address{Local: "ann", Domain: "south.test"}) {
		t.Errorf("and from there to %s, %v", got, err)
	}
}

func TestSecretsCanBeReplaced(t *testing.T) {
	fresh := bytes.Repeat([]byte("f"), MinSecret)
	path := rewriter(t, "north.test", secret).Forward(from("ann", "south.test"), now)
	if _, err := rewriter(t, "north.test", fresh, secret).Reverse(path.Address, now); err != nil {
		t.Errorf("with the old secret beside the new one: %v", err)
	}
	if _, err := rewriter(t, "north.test", fresh).Reverse(path.Address, now); !errors.Is(err, ErrForged) {
		t.Errorf("with the new secret alone: %v, want ErrForged", err)
	}
}

func TestSenderStays(t *testing.T) {
	north := rewriter(t, "north.test", secret)
	for claim, sender := range map[string]mail.ReversePath{
		"the null sender":      {},
		"an address too long":  from(strings.Repeat("a", 64), strings.Repeat("b.", 30)+"test"),
		"our own return path ": north.Forward(from("ann", "south.test"), now),
	} {
		if got := north.Forward(sender, now); got != sender {
			t.Errorf("%s: %s became %s", claim, sender, got)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for claim, cfg := range map[string]Config{
		"no domain":      {Secrets: [][]byte{secret}},
		"no secret":      {Domain: "north.test"},
		"a short secret": {Domain: "north.test", Secrets: [][]byte{secret[1:]}},
		"hours":          {Domain: "north.test", Secrets: [][]byte{secret}, MaxAge: time.Hour},
		"years":          {Domain: "north.test", Secrets: [][]byte{secret}, MaxAge: 1000 * day},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", claim)
		}
	}
}

func TestEverySenderComesBack(t *testing.T) {
	north := rewriter(t, "north.test", secret)
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[a-zA-Z0-9=+-][a-zA-Z0-9=+.-]{0,40}`).Draw(t, "local")
		sender := from(local, rapid.SampledFrom([]string{"south.test", "a-b.south.test", "[192.0.2.1]", "[IPv6:2001:db8::1]"}).Draw(t, "domain"))
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "when"), 0)
		path := north.Forward(sender, at)
		got, err := north.Reverse(path.Address, at.Add(time.Duration(rapid.Int64Range(0, 20).Draw(t, "days"))*day))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if back := (mail.ReversePath{Address: got}); back != sender && !strings.HasPrefix(path.Local, "SRS1") {
			t.Fatalf("%s became %s and came back as %s", sender, path, back)
		}
	})
}

func FuzzReverse(f *testing.F) {
	north, other := rewriter(f, "north.test", secret), rewriter(f, "south.test", secret)
	path := north.Forward(from("ann", "south.test"), now)
	f.Add(path.Local)
	f.Add(north.Forward(other.Forward(from("ann", "west.test"), now), now).Local)
	f.Fuzz(func(t *testing.T, local string) {
		got, err := north.Reverse(mail.Address{Local: local, Domain: "north.test"}, now)
		if err == nil && (got.IsZero() || got.Domain == "") {
			t.Errorf("%q leads to %#v", local, got)
		}
		sender := from(local, "west.test")
		if back := north.Forward(sender, now); back != sender {
			if _, err := north.Reverse(back.Address, now); err != nil {
				t.Errorf("%q became %s, which does not lead back: %v", local, back, err)
			}
		}
	})
}
