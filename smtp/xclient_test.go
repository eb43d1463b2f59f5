package smtp

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/mail"
)

func TestParseXClient(t *testing.T) {
	x, err := ParseXClient("NAME=a+2Bb.test ADDR=192.0.2.1 PORT=1025 PROTO=esmtp HELO=c.test LOGIN=ann DESTADDR=IPV6:2001:db8::1 DESTPORT=25")
	if err != nil || *x.Name != "a+b.test" || x.Addr.String() != "192.0.2.1" || x.Port != 1025 || x.Proto != "ESMTP" ||
		*x.Helo != "c.test" || *x.Login != "ann" || x.DestAddr.String() != "2001:db8::1" {
		t.Errorf("%+v, %v", x, err)
	}
	x, err = ParseXClient("NAME=[UNAVAILABLE] ADDR=[tempunavail] LOGIN=[UNAVAILABLE]")
	if err != nil || x.Name == nil || *x.Name != "" || x.Addr.IsValid() || !x.NoAddr || *x.Login != "" || x.Helo != nil {
		t.Errorf("%+v, %v", x, err)
	}
	for _, in := range []string{
		"", " ", "NAME", "NAME=", "NAME=a+2", "NAME=a+0Ab", "ADDR=x", "ADDR=fe80::1%25eth0", "PORT=65536", "PORT=-1",
		"PROTO=LMTP", "OTHER=x", "NAME=a NAME=b", "HELO=two+20words",
	} {
		_, err := ParseXClient(in)
		wantCode(t, in, err, 501)
	}
}

func TestParseEtrn(t *testing.T) {
	for in, want := range map[string]bool{"Relay.test": false, "@relay.test": true} {
		if domain, below, err := ParseEtrn(in); err != nil || domain != "relay.test" || below != want {
			t.Errorf("%s: %s, %v, %v", in, domain, below, err)
		}
	}
	for in, code := range map[string]int{"": 501, "@": 501, "a b": 501, "[192.0.2.1]": 501, "#uucp": 458} {
		_, _, err := ParseEtrn(in)
		wantCode(t, in, err, code)
	}
}

func TestParseVrfy(t *testing.T) {
	for in, want := range map[string]mail.Address{
		"ann": {Local: "ann"}, "<ann@north.test>": {Local: "ann", Domain: "north.test"},
		"ann@North.test": {Local: "ann", Domain: "north.test"}, `"a b"`: {Local: "a b"},
		"jörg SMTPUTF8": {Local: "jörg"},
	} {
		if got, err := ParseVrfy(in); err != nil || got != want {
			t.Errorf("%s: %s", in, cmp.Diff(want, got))
		}
	}
	for _, in := range []string{"", "Ann Smith", "@", "ann@", "a..b"} {
		_, err := ParseVrfy(in)
		wantCode(t, in, err, 501)
	}
}

func FuzzParseXClient(f *testing.F) {
	f.Add("NAME=a+2Bb.test ADDR=IPV6:2001:db8::1 PORT=1025 PROTO=ESMTP HELO=c.test LOGIN=ann")
	f.Add("ADDR=[UNAVAILABLE] DESTADDR=::ffff:192.0.2.1")
	f.Fuzz(func(t *testing.T, s string) {
		x, err := ParseXClient(s)
		if err != nil {
			return
		}
		for _, text := range []*string{x.Name, x.Helo, x.Login} {
			if text != nil && (len(*text) > maxAttribute || !isPrintable(*text)) {
				t.Errorf("%q: took %q", s, *text)
			}
		}
		if x.Addr.Zone() != "" || x.Addr.Is4In6() {
			t.Errorf("%q: took the address %s", s, x.Addr)
		}
	})
}
