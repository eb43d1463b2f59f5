package smtp

import (
	"encoding/xml"
	"errors"
	"os"
	"strings"
	"testing"

	"posthaste/mail"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		claim, in string
		want      mail.Address // zero: refused
	}{
		{"the plain case", "ann@north.test", mail.Address{Local: "ann", Domain: "north.test"}},
		{"the domain is lowered, the local-part is not", "Ann@North.TEST", mail.Address{Local: "Ann", Domain: "north.test"}},
		{"a tag stays", "ann+x=y@north.test", mail.Address{Local: "ann+x=y", Domain: "north.test"}},
		{"quotes go", `"ann b"@north.test`, mail.Address{Local: "ann b", Domain: "north.test"}},
		{"needless quotes go", `"ann"@north.test`, mail.Address{Local: "ann", Domain: "north.test"}},
		{"escapes go", `"a\"\\b"@north.test`, mail.Address{Local: `a"\b`, Domain: "north.test"}},
		{"an @ may be quoted", `"a@b"@north.test`, mail.Address{Local: "a@b", Domain: "north.test"}},
		{"the local-part may be UTF-8", "jörg@north.test", mail.Address{Local: "jörg", Domain: "north.test"}},
		{"an international domain becomes A-labels", "ann@Bücher.test", mail.Address{Local: "ann", Domain: "xn--bcher-kva.test"}},
		{"an A-label stays", "ann@XN--bcher-kva.test", mail.Address{Local: "ann", Domain: "xn--bcher-kva.test"}},
		{"a full-width dot is a dot", "ann@north。test", mail.Address{Local: "ann", Domain: "north.test"}},
		{"an IPv4 literal", "ann@[192.0.2.1]", mail.Address{Local: "ann", Domain: "[192.0.2.1]"}},
		{"an IPv6 literal is normal", "ann@[ipv6:2001:DB8:0::1]", mail.Address{Local: "ann", Domain: "[IPv6:2001:db8::1]"}},
		{"a name without dot", "root@localhost", mail.Address{Local: "root", Domain: "localhost"}},
		{"a long return address", strings.Repeat("v", 128) + "@north.test", mail.Address{Local: strings.Repeat("v", 128), Domain: "north.test"}},
		{"no longer one", strings.Repeat("v", 129) + "@north.test", mail.Address{}},
		{"nothing", "", mail.Address{}},
		{"no domain", "ann", mail.Address{}},
		{"empty domain", "ann@", mail.Address{}},
		{"empty local-part", "@north.test", mail.Address{}},
		{"two @", "a@b@north.test", mail.Address{}},
		{"a trailing dot", "ann@north.test.", mail.Address{}},
		{"two dots", "ann@north..test", mail.Address{}},
		{"dot first", ".ann@north.test", mail.Address{}},
		{"dot last", "ann.@north.test", mail.Address{}},
		{"a space", "an n@north.test", mail.Address{}},
		{"CRLF", "ann\r\n@north.test", mail.Address{}},
		{"quoted CRLF", "\"ann\r\n\"@north.test", mail.Address{}},
		{"escaped LF", "\"ann\\\n\"@north.test", mail.Address{}},
		{"a control character beyond ASCII", "a\u009b31m@north.test", mail.Address{}},
		{"NUL", "a\x00@north.test", mail.Address{}},
		{"no UTF-8", "j\xf6rg@north.test", mail.Address{}},
		{"angle brackets", "<ann@north.test>", mail.Address{}},
		{"an underscore in the domain", "ann@north_1.test", mail.Address{}},
		{"a hyphen last", "ann@north-.test", mail.Address{}},
		{"an IPv6 literal without tag", "ann@[2001:db8::1]", mail.Address{}},
		{"an IPv4 literal with tag", "ann@[IPv6:192.0.2.1]", mail.Address{}},
		{"a zone", "ann@[IPv6:fe80::1%eth0]", mail.Address{}},
		{"an unclosed literal", "ann@[192.0.2.1", mail.Address{}},
	} {
		got, err := ParseAddress(c.in)
		if got != c.want || (err == nil) == c.want.IsZero() {
			t.Errorf("%s: %q gives %#v, %v; want %#v", c.claim, c.in, got, err, c.want)
		}
		if err != nil {
			wantCode(t, c.in, err, 501)
		}
	}
}

func wantCode(t *testing.T, what string, err error, code int) {
	t.Helper()
	var s *mail.Status
	if !errors.As(err, &s) || s.Code != code {
		t.Errorf("%q: got %v, want a %d", what, err, code)
	}
}

func TestParsePath(t *testing.T) {
	ann := mail.Address{Local: "ann", Domain: "north.test"}
	for _, c := range []struct {
		claim, in string
		want      mail.Address
	}{
		{"the plain case", "<ann@north.test>", ann},
		{"a source route is dropped", "<@a.test,@b.test:ann@north.test>", ann},
		{"> may be quoted", `<"a>b"@north.test>`, mail.Address{Local: "a>b", Domain: "north.test"}},
		{"postmaster needs no domain", "<Postmaster>", mail.Address{Local: "Postmaster"}},
		{"others do", "<ann>", mail.Address{}},
		{"empty", "<>", mail.Address{}},
		{"no brackets", "ann@north.test", mail.Address{}},
		{"not closed", "<ann@north.test", mail.Address{}},
		{"text after it", "<ann@north.test>x", mail.Address{}},
		{"a broken route", "<@a.test;b:ann@north.test>", mail.Address{}},
		{"an empty route", "<@:ann@north.test>", mail.Address{}},
	} {
		got, err := ParsePath(c.in)
		if got != c.want || (err == nil) == c.want.IsZero() {
			t.Errorf("%s: %q gives %#v, %v; want %#v", c.claim, c.in, got, err, c.want)
		}
	}
	if p, err := ParseReversePath("<>"); err != nil || !p.Null() {
		t.Errorf("<> gives %v, %v; want the null reverse-path", p, err)
	}
	if _, err := ParseReversePath("<postmaster>"); err == nil {
		t.Error("a reverse-path without domain is taken")
	}
}

func TestPrintDomain(t *testing.T) {
	for in, want := range map[string]string{
		"xn--bcher-kva.test": "bücher.test",
		"north.test":         "north.test",
		"[192.0.2.1]":        "[192.0.2.1]",
		"xn--zzzzzz.test":    "xn--zzzzzz.test",
	} {
		if got := PrintDomain(in); got != want {
			t.Errorf("PrintDomain(%s) = %s, want %s", in, got, want)
		}
	}
}

// TestIsEmail runs the vectors of isemail. It knows the whole of RFC 5322; here only what RFC 5321
// allows in a path is right.
func TestIsEmail(t *testing.T) {
	data, err := os.ReadFile("../../shared/testdata/address/isemail/tests.xml")
	if err != nil {
		t.Skip("SKIPPED: the public address vectors are not here: ", err)
	}
	var suite struct {
		Tests []struct {
			ID        string `xml:"id,attr"`
			Address   string `xml:"address"`
			Category  string `xml:"category"`
			Diagnosis string `xml:"diagnosis"`
		} `xml:"test"`
	}
	if err := xml.Unmarshal(data, &suite); err != nil || len(suite.Tests) < 100 {
		t.Fatal(len(suite.Tests), err)
	}
	for _, c := range suite.Tests {
		address := strings.Map(func(r rune) rune { // the file writes control characters as their pictures
			if r >= 0x2400 && r < 0x2420 {
				return r - 0x2400
			}
			return r
		}, c.Address)
		want := c.Category == "ISEMAIL_VALID_CATEGORY" || c.Category == "ISEMAIL_DNSWARN" || c.Category == "ISEMAIL_RFC5321"
		switch c.Diagnosis {
		case "ISEMAIL_RFC5322_LOCAL_TOOLONG", "ISEMAIL_RFC5322_TOOLONG":
			continue // we take longer ones on purpose: see maxLocal
		case "ISEMAIL_RFC5321_IPV6DEPRECATED":
			want = true // "::" for one group is no error to us
		}
		if _, err := ParseAddress(address); (err == nil) != want {
			t.Errorf("#%s %q (%s): %v", c.ID, address, c.Diagnosis, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"ann@north.test", `"a\"b"@[192.0.2.1]`, "jörg@bücher.test", "a@[IPv6:::1]", "a@b。c", `""@x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if back, err := ParseAddress(a.String()); err != nil || back != a {
			t.Errorf("%q is %#v, prints %q, which is %#v, %v", s, a, a.String(), back, err)
		}
		if p, err := ParsePath("<" + a.String() + ">"); err != nil || p != a {
			t.Errorf("%q in a path is %#v, %v", s, p, err)
		}
		var text mail.Address
		if text.UnmarshalText([]byte(a.String())); text != a {
			t.Errorf("%q as text is %#v, want %#v", s, text, a)
		}
	})
}
