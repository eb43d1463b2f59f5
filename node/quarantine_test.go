package node

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthaste/config"
	"posthaste/mail"
	mime "posthaste/message"
	"posthaste/quarantine"
	"posthaste/store"
)

// freePort returns an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// inbox waits until INBOX of an account has so many messages, and returns them.
func inbox(t *testing.T, n *Node, address string, want int) (all []string) {
	t.Helper()
	account, err := n.directory.AccountByAddress(t.Context(), mail.Address{Local: address, Domain: "north.test"})
	if err != nil {
		t.Fatal(err)
	}
	a := n.store.Account(account.ID)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		usage, err := a.Quota(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if int(usage.Emails) < want {
			continue
		}
		var ids []store.EmailID
		for id := store.EmailID(1); len(ids) < want; id++ {
			ids = append(ids, id)
		}
		err = a.Contents(t.Context(), ids, func(_ store.EmailID, content []byte) error { all = append(all, string(content)); return nil })
		if err != nil || len(all) != want {
			t.Fatalf("%d messages, %v; want %d", len(all), err, want)
		}
		return all
	}
	t.Fatalf("INBOX of %s did not get %d messages", address, want)
	return nil
}

// The whole way of a message that was kept apart, with a real browser: digest, link, page, button, INBOX.
func TestReleaseByALinkInABrowser(t *testing.T) {
	secure := freePort(t)
	n := startNode(t, func(c *config.Config) {
		c.Listen = append(c.Listen, config.Listen{Service: "https", Address: secure}, config.Listen{Service: "http", Address: "127.0.0.1:0"})
		c.Quarantine.Digest = "hourly"
	})
	content := "From: \"A <b>Friend</b>\" <friend@else.test>\r\nTo: ann@north.test\r\nSubject: the plans you asked for, \u202efdp.exe\r\n\r\nHere.\r\n"
	_, err := n.quarantine.Put(t.Context(), quarantine.Item{
		Envelope:   mail.Envelope{ID: n.queue.NewID(), From: mail.ReversePath{Address: mail.Address{Local: "friend", Domain: "else.test"}}, Received: time.Now()},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "ann", Domain: "north.test"}}},
		Content:    []byte(content), Reason: "its attachment is a program that is called a document"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.quarantine.SendDigests(t.Context()); err != nil {
		t.Fatal(err)
	}
	digest := mime.Parse([]byte(inbox(t, n, "ann", 1)[0]))
	link := ""
	digest.Walk(func(p *mime.Part) bool {
		if p.Type() == "text/plain" {
			link = regexp.MustCompile(`https://mx.north.test:\d+/quarantine/release/\S+`).FindString(p.Text(1 << 20))
		}
		return true
	})
	if link == "" {
		t.Fatal("the digest has no link")
	}

	b := startBrowser(t, "mx.north.test")
	b.open(link)
	if title := b.eval("document.title"); title != "Release this message?" {
		t.Errorf("title %q", title)
	}
	text := b.eval("document.body.innerText")
	for _, want := range []string{"A <b>Friend</b> <friend@else.test>", "the plans you asked for, fdp.exe", "its attachment is a program"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	if color := b.eval("getComputedStyle(document.querySelector('button')).backgroundColor"); color == "rgb(239, 239, 239)" || color == "" {
		t.Errorf("the style sheet was not loaded: the button is %q", color)
	}
	if n.quarantineCount(t) != 1 {
		t.Fatal("opening the link released the message")
	}
	if wide := b.eval("document.documentElement.scrollWidth <= window.innerWidth"); wide != "true" {
		t.Error("the page scrolls sideways")
	}
	b.press("Tab", 9)
	if focus := b.eval("document.activeElement.tagName"); focus != "BUTTON" {
		t.Fatalf("the keyboard reaches %s, not the button", focus)
	}
	b.press("Enter", 13)
	b.loaded()
	if title := b.eval("document.title"); title != "The message is released" {
		t.Errorf("title %q", title)
	}
	if got := inbox(t, n, "ann", 2)[1]; !strings.HasSuffix(got, content) || !strings.Contains(got, "Delivered-To: ann@north.test") {
		t.Errorf("delivered %q", got)
	}
	b.open(link)
	if title := b.eval("document.title"); title != "The message is not there any more" {
		t.Errorf("title %q", title)
	}
	if n.quarantineCount(t) != 0 {
		t.Error("it is still in the quarantine")
	}
}

func (n *Node) quarantineCount(t *testing.T) int {
	t.Helper()
	list, err := n.quarantine.List(t.Context(), quarantine.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWhereLinksLead(t *testing.T) {
	for _, c := range []struct{ name, url, service, address, want string }{
		{"no listener", "", "mx", ":25", ""},
		{"without TLS there are no links", "", "http", ":80", ""},
		{"the usual port", "", "https", ":443", "https://mx.north.test"},
		{"another port", "", "https", ":8443", "https://mx.north.test:8443"},
		{"a port of the system's choice is unknown", "", "https", ":0", ""},
		{"what is configured", "https://mail.north.test/", "mx", ":25", "https://mail.north.test"},
	} {
		cfg := config.Default()
		cfg.Hostname, cfg.Quarantine.URL = "mx.north.test", c.url
		cfg.Listen = []config.Listen{{Service: c.service, Address: c.address}}
		if got := quarantineURL(cfg); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
