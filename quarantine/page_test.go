package quarantine

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthaste/message"
)

// decoded returns the text of all text parts of a message, and its subject.
func decoded(t *testing.T, content string) string {
	t.Helper()
	m := message.Parse([]byte(content))
	var b strings.Builder
	b.WriteString(m.Header.Subject() + "\n")
	m.Walk(func(p *message.Part) bool {
		if p.IsText() {
			b.WriteString(p.Text(1 << 20))
		}
		return true
	})
	return b.String()
}

// links returns those of ann's digest that lies in the queue, as text has them.
func (w *world) links() map[action]string {
	w.t.Helper()
	w.now = w.now.Add(24 * time.Hour)
	if err := w.SendDigests(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	links := map[action]string{}
	digest := ""
	for _, e := range w.queued() {
		if e.Recipients[0].Address == address("ann@north.test") {
			digest = decoded(w.t, w.content(e))
		}
	}
	for _, l := range regexp.MustCompile(`https://mx.north.test(/quarantine/(\w+)/\S+)`).FindAllStringSubmatch(digest, -1) {
		if links[action(l[2])] == "" {
			links[action(l[2])] = l[1]
		}
	}
	return links
}

func (w *world) request(method, target string) (int, string) {
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest(method, target, nil))
	return rec.Code, rec.Body.String()
}

func TestALinkAsksAndItsButtonActs(t *testing.T) {
	w := newWorld(t)
	w.put(w.item(1, "ann@north.test", "bob@relay.test"))
	links := w.links()
	for range 3 { // a scanner, a preview, a person
		if code, body := w.request("GET", links[actTrust]); code != 200 || !strings.Contains(body, "Jörg") || !strings.Contains(body, `<form method="post">`) {
			t.Fatalf("%d %s", code, body)
		}
	}
	if n := w.events.count("released"); n != 0 {
		t.Fatalf("%d were released by looking", n)
	}
	before := len(w.queued())
	if code, body := w.request("POST", links[actTrust]); code != 200 || !strings.Contains(body, "is released") {
		t.Errorf("%d %s", code, body)
	}
	if n := len(w.queued()) - before; n != 1 {
		t.Errorf("%d messages went to the queue; want that of the link's owner alone", n)
	}
	if code, _ := w.request("POST", links[actTrust]); code != 200 {
		t.Errorf("pressing twice: %d", code)
	}
	if code, _ := w.request("POST", links[actDelete]); code != 410 {
		t.Errorf("delete what was released: %d", code)
	}
	if code, _ := w.request("GET", links[actRelease]); code != 410 {
		t.Errorf("ask about what was released: %d", code)
	}
}

func TestNoLinkCanBeForged(t *testing.T) {
	w := newWorld(t)
	w.put(w.item(1, "ann@north.test"))
	other := w.put(w.item(2, "bob@relay.test"))
	link := w.links()[actDelete]
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) string {
		q, copied := u.Query(), *u
		q.Set(key, value)
		copied.RawQuery = q.Encode()
		return copied.String()
	}
	for name, target := range map[string]string{
		"another action":    strings.Replace(link, "/delete/", "/release/", 1),
		"another message":   Path + "delete/" + string(other) + "?" + u.RawQuery,
		"another owner":     with("for", "bob@relay.test"),
		"a later end":       with("until", "99999999999"),
		"no key":            with("key", ""),
		"a shorter key":     with("key", u.Query().Get("key")[:8]),
		"an unknown action": strings.Replace(link, "/delete/", "/burn/", 1),
		"no ID":             Path + "delete/x?" + u.RawQuery,
	} {
		for _, method := range []string{"GET", "POST"} {
			if code, _ := w.request(method, target); code != 404 {
				t.Errorf("%s with %s: %d, want 404", method, name, code)
			}
		}
	}
	if code, _ := w.request("PUT", link); code != 405 {
		t.Errorf("PUT: %d", code)
	}
	if n := w.events.count("deleted"); n != 0 {
		t.Errorf("%d were deleted", n)
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	if code, body := w.request("POST", link); code != 410 || !strings.Contains(body, "has expired") {
		t.Errorf("an old link: %d", code)
	}
}

func TestWithoutURLThereAreNoLinks(t *testing.T) {
	w := newWorld(t)
	w.policy.URL = ""
	w.put(w.item(1, "ann@north.test"))
	if links := w.links(); len(links) != 0 {
		t.Errorf("links %v", links)
	}
}

func FuzzLink(f *testing.F) {
	secret, now := []byte("secret"), time.Unix(1_800_000_000, 0)
	good := link{actRelease, "0123456789abcdef", "17", now.Unix()}
	u, err := url.Parse(good.url("", secret))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(strings.TrimPrefix(u.Path, Path), u.RawQuery)
	f.Add("trust/0123456789abcdef", "for=a%40b&until=-1&key=x")
	f.Fuzz(func(t *testing.T, path, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		l, err := parseLink(path, values, secret, now)
		if err != nil {
			return
		}
		again, err := url.Parse(l.url("", secret))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseLink(strings.TrimPrefix(again.Path, Path), again.Query(), secret, now); err != nil || got != l {
			t.Errorf("%+v came back as %+v, %v", l, got, err)
		}
		if l != good {
			t.Errorf("%+v was not made by us", l)
		}
	})
}
