package table

import (
	"strings"
	"testing"
)

func TestTextMap(t *testing.T) {
	m, err := parseTextMap("f", "# comment\n\nAnn@Example.org  bob@example.org\n   , carol@example.org\n# between\n\t, dave\nkey\tvalue with blanks  \r\n\"a b\"@x y\nkey second\n")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"ann@example.org": "bob@example.org   , carol@example.org\t, dave",
		"key":             "value with blanks",
		`"a b"@x`:         "y",
		"comment":         "",
	} {
		if got, _ := m.find(key); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
}

func TestErrorsOfFilesNameTheLine(t *testing.T) {
	text := func(name, text string) error { _, err := parseTextMap(name, text); return err }
	cidr := func(name, text string) error { _, err := parseCIDRMap(name, text); return err }
	re := func(name, text string) error { _, err := parseRegexpMap(name, text); return err }
	for _, tt := range []struct {
		claim string
		parse func(name, text string) error
		in    string
		want  string
	}{
		{"a key needs a value", text, "a b\nkey\n", "f: line 2 has no value"},
		{"a continuation needs a line", text, " a b\n", "line 1 is indented"},
		{"quotes end", text, "\"a b\n", "line 1 has a double quote"},
		{"all errors are told", text, "a\nb\n", "line 2"},
		{"control characters are refused", text, "a b\x01\n", "control"},
		{"host bits are refused with what was meant", cidr, "192.0.2.1/24 x\n", "write 192.0.2.0/24"},
		{"no address", cidr, "example.org x\n", "no IP address"},
		{"if ends", cidr, "if 192.0.2.0/24\n192.0.2.1 x\n", "no \"endif\""},
		{"endif needs if", cidr, "endif\n", "without \"if\""},
		{"a network needs a value", cidr, "192.0.2.1\n", "no value"},
		{"look-around is not RE2", re, "/(?=a)/ x\n", "RE2"},
		{"a pattern ends", re, "/abc x\n", "without the \"/\""},
		{"a group must exist", re, "/(a)/ $2\n", "1 groups"},
		{"there is no group 0", re, "/(a)/ $0\n", "$0"},
		{"a negated pattern has no groups", re, "!/(a)/ $1\n", "nothing to put"},
		{"a dollar is doubled", re, "/a/ 5$\n", "$$"},
		{"unknown flags", re, "/a/q x\n", "flag"},
	} {
		if err := tt.parse("f", tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want one with %q", tt.claim, err, tt.want)
		}
	}
}

func TestCIDR(t *testing.T) {
	const plain = "192.0.2.7 host\n192.0.2.0/24 net\n192.0.2.0/28 never\n[2001:db8::]/32 six\n0.0.0.0/0 all\n"
	const blocks = "if 192.0.2.0/24\n!192.0.2.0/28 outer\n192.0.2.1 inner\nendif\nif !10.0.0.0/8\n10.1.1.1 never\n192.0.2.9 nine\nendif\n"
	for _, tt := range []struct{ list, key, want string }{
		{plain, "192.0.2.7", "host"}, {plain, "192.0.2.8", "net"}, {plain, "::ffff:192.0.2.8", "net"},
		{plain, "2001:db8::1", "six"}, {plain, "2001:db9::1", ""}, {plain, "8.8.8.8", "all"}, {plain, "example.org", ""},
		{blocks, "192.0.2.77", "outer"}, {blocks, "192.0.2.1", "inner"}, {blocks, "10.1.1.1", ""}, {blocks, "192.0.2.9", "nine"},
	} {
		m, err := parseCIDRMap("f", tt.list)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := m.find(tt.key); got != tt.want {
			t.Errorf("%s is %q, want %q", tt.key, got, tt.want)
		}
	}
}

func TestRegexp(t *testing.T) {
	m, err := parseRegexpMap("f", "/^(.*)@Old\\.example$/ $1@new.example\n/^CASE$/i exact\nif /spam/\n!/^good/ REJECT\nendif\n|a/b|  $$5 costs\n/x(y)?z/ a$(1)b${1}c\n")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Ann@OLD.example": "Ann@new.example", "case": "", "CASE": "exact", "spam": "REJECT", "good spam": "",
		"a/b": "$5 costs", "xyz": "aybyc", "xz": "abc",
	} {
		if got, _ := m.find(key); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
}

func TestInline(t *testing.T) {
	m, err := parseInlineMap("{ A = 1, b=550 5.7.1 go away,{c = x, y = z} }")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "1", "b": "550 5.7.1 go away", "c": "x, y = z", "d": ""} {
		if got, _ := m.find(key); got != want {
			t.Errorf("%q is %q, want %q", key, got, want)
		}
	}
	for _, bad := range []string{"", "a=b", "{a}", "{a=}", "{=a}", "{a=1,a=2}", "{a=b c=d}", "{{a=b}", "{{a=b} c=d}"} {
		if m, err := parseInlineMap(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, m)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("key value\n more\n#c\n\"a b\" c\n")
	f.Add("if 192.0.2.0/24\n!192.0.2.0/28 x\n[::1] y\nendif\n")
	f.Add("if !/a/\n/(b)/i $1\nendif\n")
	f.Add("{a=b, {c = d, e}}")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseTextMap("f", text); err == nil {
			m.find("key")
		}
		if m, err := parseCIDRMap("f", text); err == nil {
			m.find("192.0.2.1")
		}
		if m, err := parseRegexpMap("f", text); err == nil {
			m.find("ann@example.org")
		}
		parseInlineMap(text)
	})
}
