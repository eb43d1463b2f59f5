package mtasts

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const valid = "version: STSv1\r\nmode: enforce\r\nmx: mx1.south.test\r\nmx: *.Mail.south.test\r\nmax_age: 604800\r\n"

func TestParse(t *testing.T) {
	p, err := Parse([]byte(valid))
	if err != nil || p.Mode != Enforce || p.MaxAge != 7*24*time.Hour || !slices.Equal(p.MX, []string{"mx1.south.test", "*.mail.south.test"}) {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, c := range []struct {
		claim, text string
		ok          bool
	}{
		{"lines may end in LF and in nothing", "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 1", true},
		{"unknown fields are passed over", valid + "future: yes\r\n", true},
		{"the first of two modes counts", valid + "mode: junk\r\n", true},
		{"mode none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", true},
		{"another version is refused", strings.Replace(valid, "STSv1", "STSv2", 1), false},
		{"a missing version is refused", strings.Replace(valid, "version: STSv1", "", 1), false},
		{"an unknown mode is refused", strings.Replace(valid, "enforce", "force", 1), false},
		{"enforce without mx is refused", "version: STSv1\nmode: enforce\nmax_age: 86400\n", false},
		{"a missing max_age is refused", strings.Replace(valid, "max_age: 604800", "", 1), false},
		{"a negative max_age is refused", strings.Replace(valid, "604800", "-1", 1), false},
		{"a wildcard inside a name is refused", strings.Replace(valid, "mx1.south", "mx.*.south", 1), false},
		{"HTML is refused", "<html><body>404</body></html>", false},
		{"too many lines are refused", valid + strings.Repeat("\r\n", maxLines), false},
		{"too many patterns are refused", valid + strings.Repeat("mx: a.test\n", maxPatterns), false},
		{"a large policy is refused", valid + "x: " + strings.Repeat("x", maxPolicy), false},
	} {
		if _, err := Parse([]byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.claim, err)
		}
	}
	if p, _ := Parse([]byte(strings.Replace(valid, "604800", "4294967295", 1))); p.MaxAge != maxMaxAge*time.Second {
		t.Errorf("max_age was cut to %v, want %d s", p.MaxAge, maxMaxAge)
	}
}

func TestPatterns(t *testing.T) {
	p := Policy{MX: []string{"mx.south.test", "*.mail.test"}}
	for host, want := range map[string]bool{
		"mx.south.test": true, "MX.south.test.": true, "a.mail.test": true,
		"mail.test": false, "a.b.mail.test": false, "amail.test": false, "south.test": false, "x.mx.south.test": false, "": false,
	} {
		if p.Matches(host) != want {
			t.Errorf("%q matches: %v, want %v", host, !want, want)
		}
	}
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		claim   string
		records []string
		want    string
	}{
		{"an id is read", []string{"v=STSv1; id=20261122T000000;"}, "20261122T000000"},
		{"other records do not count", []string{"v=spf1 -all", "v=STSv1;id=a1"}, "a1"},
		{"two records are none", []string{"v=STSv1; id=a", "v=STSv1; id=b"}, ""},
		{"a record without id is none", []string{"v=STSv1;"}, ""},
		{"an id of other characters is none", []string{"v=STSv1; id=a-b"}, ""},
		{"a long id is none", []string{"v=STSv1; id=" + strings.Repeat("a", maxID+1)}, ""},
		{"another version is none", []string{"v=STSv2; id=a"}, ""},
	} {
		if got, ok := parseRecord(c.records); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: got %q, %v", c.claim, got, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > maxMaxAge*time.Second || len(p.MX) > maxPatterns || len(p.Text) > maxText {
			t.Errorf("out of bounds: %+v", p)
		}
		if p.Mode == Enforce && len(p.MX) == 0 {
			t.Error("enforce with no host at all")
		}
		for _, pattern := range p.MX {
			if host := strings.Replace(pattern, "*", "x", 1); !p.Matches(host) {
				t.Errorf("%q does not match its own pattern %q", host, pattern)
			}
		}
	})
}
