package results

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        Field
	}{
		{"nothing was done", "example.org 1; none", Field{Server: "example.org"}},
		{"a result and its property", "example.com; spf=pass smtp.mailfrom=example.net",
			Field{"example.com", []Result{{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "example.net"}}}}}},
		{"comments everywhere", "foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462",
			Field{"foo.example.net", []Result{{Method: "dkim", Value: "fail", Properties: []Property{{"policy", "expired", "1362471462"}}}}}},
		{"a reason in quotes with a semicolon", `example.com; dkim=fail reason="bad; really" header.i=@mail-router.example.net header.b=uuyY0p/a+=`,
			Field{"example.com", []Result{{Method: "dkim", Value: "fail", Reason: "bad; really", Properties: []Property{{"header", "i", "@mail-router.example.net"}, {"header", "b", "uuyY0p/a+="}}}}}},
		{"a semicolon in a comment", "example.com; auth=pass (cram-md5; (nested)) smtp.auth=sender@example.net",
			Field{"example.com", []Result{{Method: "auth", Value: "pass", Comment: "cram-md5; (nested)", Properties: []Property{{"smtp", "auth", "sender@example.net"}}}}}},
		{"no name of a host, as one large host writes", "spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=a.example; dkim=pass (signature was verified)\r\n header.d=a.example;dmarc=pass action=none\r\n header.from=a.example;compauth=pass reason=100",
			Field{"", []Result{
				{Method: "spf", Value: "pass", Comment: "sender IP is 192.0.2.1", Properties: []Property{{"smtp", "mailfrom", "a.example"}}},
				{Method: "dkim", Value: "pass", Comment: "signature was verified", Properties: []Property{{"header", "d", "a.example"}}},
				{Method: "dmarc", Value: "pass", Properties: []Property{{"header", "from", "a.example"}}},
				{Method: "compauth", Value: "pass", Reason: "100"}}}},
		{"a quoted local-part", `example.com; spf=pass smtp.mailfrom="a; b"@example.net`,
			Field{"example.com", []Result{{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", `"a; b"@example.net`}}}}}},
		{"a quoted name of a host", `"mail host"; spf=none`, Field{"mail host", []Result{{Method: "spf", Value: "none"}}}},
		{"what is no result is passed over", "example.com; ; =; what; dkim=; =pass; spf=PASS trailing", Field{"example.com", []Result{{Method: "spf", Value: "pass"}}}},
		{"a comment that never ends", "example.com; spf=pass (oh", Field{"example.com", []Result{{Method: "spf", Value: "pass", Comment: "oh"}}}},
	} {
		got, err := Parse(c.value)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
	for _, value := range []string{"", " \r\n ", "(only a comment)", ";;;", "=", "(((((((((((("} {
		if got, err := Parse(value); err != ErrNone {
			t.Errorf("%q: got %+v, %v", value, got, err)
		}
	}
}

func TestPrint(t *testing.T) {
	f := Field{"mail.example.org", []Result{
		{Method: "spf", Value: "pass", Comment: "it (really) is", Properties: []Property{{"smtp", "mailfrom", "ann@example.net"}, {"smtp", "helo", "x y"}}},
		{Method: "dkim", Value: "fail", Reason: `say "no"`, Properties: []Property{{"header", "i", "@example.net"}, {"header", "b", "ab/c="}, {"smtp", "rcptto", `"a b"@example.net`}}},
		{Method: "evil\r\nBcc", Value: "pa ss", Comment: "x\r\nBcc: y", Properties: []Property{{"a;", "", "\x00\x01"}}},
	}}
	const want = `mail.example.org; spf=pass (it \(really\) is) smtp.mailfrom=ann@example.net smtp.helo="x y"; ` +
		`dkim=fail reason="say \"no\"" header.i=@example.net header.b="ab/c=" smtp.rcptto="a b"@example.net; ` +
		`evilbcc=pass (x  Bcc: y) a.unknown=""`
	if got := f.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	lines := string(f.Append(nil, "Authentication-Results"))
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		if len(line) > maxLine || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	back, err := Parse(strings.TrimPrefix(lines, "Authentication-Results: "))
	if err != nil || back.String() != want {
		t.Errorf("folded and read again: %s, %v", back, err)
	}
	if got := (Field{Server: "mail.example.org"}).String(); got != "mail.example.org; none" {
		t.Errorf("got %s", got)
	}
	if got := f.Get("spf")[0].Property("smtp.mailfrom"); got != "ann@example.net" {
		t.Errorf("property: %q", got)
	}
}

func TestClaims(t *testing.T) {
	for value, want := range map[string]bool{
		"mail.example.org; spf=pass": true, "MAIL.example.org 1; none": true, `"mail.example.org"; none`: true, "(c) mail.example.org (d); none": true,
		"other.example; spf=pass smtp.mailfrom=mail.example.org": false, "mail.example.org.evil.example; spf=pass": false,
		`"mail\.example.org"; none`: true, "mail.example.org/1; none": true, "mail.example.org.; none": true, "\u00a0mail.example.org; none": true,
		"\x00mail.example.org; none": true, "(" + strings.Repeat("x", maxField) + ") mail.example.org; none": true,
		"xmail.example.org; none": false, "mail.example.org-x; none": false,
		"spf=pass smtp.mailfrom=x": false, "spf=pass (by mail.example.org)": true, "": false,
	} {
		if got := Claims(value, "mail.example.org"); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
}

func TestBounds(t *testing.T) {
	f, err := Parse("a.example" + strings.Repeat("; x=pass", 1000))
	if err != nil || len(f.Results) != maxResults {
		t.Errorf("%d results, %v", len(f.Results), err)
	}
	f, _ = Parse("a.example; x=pass" + strings.Repeat(" a.b=c", 1000))
	if len(f.Results[0].Properties) != maxProperties {
		t.Errorf("%d properties", len(f.Results[0].Properties))
	}
	f, _ = Parse("a.example; x=pass reason=" + strings.Repeat("y", 10_000))
	if len(f.Results[0].Reason) != maxText {
		t.Errorf("a reason of %d bytes", len(f.Results[0].Reason))
	}
	f, _ = Parse("a.example; x=pass " + strings.Repeat("(", 30_000) + strings.Repeat(")", 30_000) + " a.b=c")
	if len(f.Results) != 1 || len(f.Results[0].Comment) > maxText {
		t.Errorf("deep comments: %+v", f)
	}
	f, err = Parse(strings.Repeat("x", 10*maxField) + "; spf=pass")
	if err != nil || len(f.Server) > maxText || len(f.Results) != 0 {
		t.Errorf("beyond the bound of a field: %d, %v", len(f.Results), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("example.com; spf=pass (x) smtp.mailfrom=a@b.example reason=\"y\"; dkim=fail header.b=a/b")
	f.Add(`"a"b; x = y (((`)
	f.Fuzz(func(t *testing.T, value string) {
		got, err := Parse(value)
		if err != nil {
			return
		}
		if len(got.Results) > maxResults {
			t.Fatal("too many results")
		}
		text := got.String()
		if strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) {
			t.Fatalf("printed %q", text)
		}
		if got.Server == "" {
			return // no rule says how to print that
		}
		again, err := Parse(text)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q\nread  %+v\nagain %+v, %v", text, got, again, err)
		}
	})
}
