package urls

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste/message"
)

// extract parses text as the body of a message.
func extract(kind, text string) Found {
	return Extract(message.Parse([]byte("Content-Type: text/" + kind + "; charset=utf-8\r\n\r\n" + text)))
}

func names(f Found) string {
	var all []string
	for _, f := range f.Findings {
		all = append(all, f.Rule)
	}
	return strings.Join(all, " ")
}

func TestText(t *testing.T) {
	for _, c := range []struct{ name, text, hosts, found string }{
		{"nothing", "hello, world. a:b //c", "", ""},
		{"a URL", "see https://Example.org/a?b#c.", "example.org", ""},
		{"one each", "http://a.test http://b.test/x http://a.test/y", "a.test b.test", ""},
		{"in brackets", "(http://a.test/x) <http://b.test/y>, [http://c.test]", "a.test b.test c.test", ""},
		{"without a scheme", "visit www.a.test, or WWW.b.test!", "www.a.test www.b.test", ""},
		{"an address of mail", "ann@www.example.org x.www.b", "", ""},
		{"a scheme glued to a word", "seehttp://a.test", "a.test", ""},
		{"another scheme", "ssh://a.test imap://b.test", "", ""},
		{"port and user", "http://user:pw@a.test:8080/", "a.test", ""},
		{"a dot at the end", "http://a.test./x", "a.test", ""},
		{"an address", "http://192.0.2.1/x", "192.0.2.1", "URL_IP"},
		{"an address of IPv6", "http://[2001:db8::1]:80/x", "2001:db8::1", "URL_IP"},
		{"an address as one number", "http://3221225985/", "192.0.2.1", "URL_ODD_IP"},
		{"an address in other bases", "http://0xc0.0.02.1/", "192.0.2.1", "URL_ODD_IP"},
		{"a name before the @", "http://bank.example@evil.test/", "evil.test", "URL_USERINFO"},
		{"a slash the other way", `http:\\evil.test\@bank.example`, "", ""},
		{"a host in escapes", "http://ev%69l.test/", "evil.test", "URL_ESCAPED_HOST"},
		{"a host in wide letters", "http://ｅｖｉｌ.test/", "evil.test", ""},
		{"two alphabets", "http://pаypal.com/", "xn--pypal-4ve.com", "URL_HOMOGRAPH"},
		{"another alphabet that looks like ours", "http://аррӏе.com/", "xn--80ak6aa92e.com", "URL_HOMOGRAPH"},
		{"honest other alphabets", "http://почта.рф/ http://müller.de http://日本.jp", "xn--80a1acny.xn--p1ai xn--mller-kva.de xn--wgv71a.jp", ""},
		{"a shortener", "https://bit.ly/abc", "bit.ly", "URL_SHORTENER"},
		{"no host", "http:// http:///x", "x", ""},
	} {
		f := extract("plain", c.text)
		if got := strings.Join(f.Hosts, " "); got != c.hosts || names(f) != c.found {
			t.Errorf("%s: %q, %+v; want %q, %q", c.name, got, f.Findings, c.hosts, c.found)
		}
	}
}

func TestHTML(t *testing.T) {
	for _, c := range []struct{ name, text, hosts, found string }{
		{"a link", "<a href='http://a.test/x'>click</a>", "a.test", ""},
		{"a link that says what it is", "<a href=http://www.a.test/x>http://a.test/</a>", "www.a.test", ""},
		{"a link that shows another host", "<a href=http://evil.test/x><b>https://www.bank.example/</b></a>", "evil.test", "URL_MISMATCH"},
		{"a link that shows another name", "<a href=http://evil.test/x>bank.com</a>", "evil.test", "URL_MISMATCH"},
		{"a file name is no host", "<a href=http://a.test/x>report.pdf</a>", "a.test", ""},
		{"an open link", "<a href=http://a.test>x<a href=http://b.test>y", "a.test b.test", ""},
		{"entities", "<a href='http://a&#46;test'>x</a>", "a.test", ""},
		{"new lines within", "<a href='ht\ntp://a.\ttest'>x</a>", "a.test", ""},
		{"a script", "<a href=' JavaScript:alert(1)'>x</a>", "", "URL_SCRIPT"},
		{"a page within", "<a href='data:text/html,x'>x</a>", "", "URL_DATA"},
		{"a picture within", "<img src='data:image/png;base64,x'><img src=cid:x>", "", ""},
		{"a picture elsewhere", "<img src=//a.test/x.png>", "a.test", ""},
		{"a file share", `<a href="file://evil.test/x">x</a>`, "evil.test", "URL_FILE"},
		{"a file share in the way of Windows", `<img src="\\evil.test\x">`, "evil.test", "URL_FILE"},
		{"a form", "<form action=http://a.test/>", "a.test", ""},
		{"a refresh", "<meta http-equiv=refresh content='0; URL=http://a.test/'>", "a.test", ""},
		{"plain text", "<p>http://a.test/</p><style>http://b.test</style>", "a.test", ""},
		{"to itself", "<a href='#top'>x</a><a href='mailto:a@b.test'>y</a>", "", ""},
	} {
		f := extract("html", c.text)
		if got := strings.Join(f.Hosts, " "); got != c.hosts || names(f) != c.found {
			t.Errorf("%s: %q, %+v; want %q, %q", c.name, got, f.Findings, c.hosts, c.found)
		}
	}
}

func TestBounds(t *testing.T) {
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, "http://h%d.test/ ", i)
	}
	f := extract("plain", many.String())
	if len(f.Links) != MaxLinks || len(f.Hosts) != MaxHosts || !f.Truncated {
		t.Errorf("%d links, %d hosts, %v", len(f.Links), len(f.Hosts), f.Truncated)
	}
	for name, text := range map[string]string{
		"slashes":     strings.Repeat("://", 1<<19),
		"schemes":     strings.Repeat("http://", 1<<19),
		"one URL":     "http://" + strings.Repeat("a", 1<<21),
		"www":         strings.Repeat("www.", 1<<19),
		"w":           strings.Repeat("w", 1<<21),
		"tags":        strings.Repeat("<a href=http://a.test>", 1<<16),
		"one tag":     "<a href='" + strings.Repeat("http://", 1<<18),
		"an @ each":   "http://" + strings.Repeat("a@", 1<<20),
		"one www far": "http:/" + strings.Repeat(" ww.x://", 1<<18) + "www.a.test",
	} {
		for _, kind := range []string{"plain", "html"} {
			start := time.Now()
			f := extract(kind, text)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s as %s took %v", name, kind, took)
			}
			for _, l := range f.Links {
				if len(l.URL) > maxURL {
					t.Errorf("%s: a URL of %d bytes", name, len(l.URL))
				}
			}
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("plain", "see http://user@0x7f.1:80/ www.pаypal.com http://[::1]/ %41")
	f.Add("html", "<a href=http://a.test>bank.com</a><a href='data:x'>")
	f.Fuzz(func(t *testing.T, kind, text string) {
		found := extract(kind, text)
		for _, h := range found.Hosts {
			if h == "" || len(h) > maxHost || strings.ContainsAny(h, " /\\@\r\n") || !isASCII(h) {
				t.Errorf("host %q", h)
			}
		}
	})
}
