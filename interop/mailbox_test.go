package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// A message is one of a mailbox, as IMAP shows it.
type message struct {
	uid     imap.UID
	flags   []string // sorted, without \Recent
	content string
}

// header returns the lines above the body.
func (m message) header() string {
	head, _, _ := strings.Cut(m.content, "\r\n\r\n")
	return head + "\r\n"
}

// body returns what follows the header.
func (m message) body() string {
	_, body, _ := strings.Cut(m.content, "\r\n\r\n")
	return body
}

// has tells whether the flags are these.
func (m message) has(flags ...string) bool {
	slices.Sort(flags)
	return slices.Equal(m.flags, flags)
}

// imap returns a logged in session of emersion's client.
func (w *site) imap(t *testing.T, user string, options *imapclient.Options) *imapclient.Client {
	t.Helper()
	if options == nil {
		options = &imapclient.Options{}
	}
	options.TLSConfig = w.clientTLS()
	c, err := imapclient.DialTLS(w.address("imaps"), options)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Login(user, password).Wait())
	return c
}

// mailbox returns the messages of a mailbox of user, in order, leaving them as they are.
func (w *site) mailbox(t *testing.T, user, name string) []message {
	t.Helper()
	c := w.imap(t, user, nil)
	defer c.Close()
	selected, err := c.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	must(t, err)
	if selected.NumMessages == 0 {
		return nil
	}
	fetched, err := c.Fetch(imap.SeqSet{{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	must(t, err)
	all := make([]message, len(fetched))
	for i, f := range fetched {
		all[i] = message{uid: f.UID, content: string(f.BodySection[0].Bytes)}
		for _, flag := range f.Flags {
			all[i].flags = append(all[i].flags, string(flag))
		}
		slices.Sort(all[i].flags)
	}
	return all
}

// arrived waits until INBOX of user holds n messages and returns them.
func (w *site) arrived(t *testing.T, user string, n int) []message {
	t.Helper()
	c := w.imap(t, user, nil)
	defer c.Close()
	eventually(t, "INBOX of "+user+" fills", func() bool {
		status, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
		must(t, err)
		return int(*status.NumMessages) >= n
	})
	all := w.mailbox(t, user, "INBOX")
	if len(all) != n {
		t.Fatalf("INBOX of %s holds %d messages, want %d", user, len(all), n)
	}
	return all
}

// put adds a message to INBOX of user.
func (w *site) put(t *testing.T, user, content string, flags ...imap.Flag) {
	t.Helper()
	c := w.imap(t, user, nil)
	defer c.Close()
	appendTo(t, c, "INBOX", content, flags...)
}

func appendTo(t *testing.T, c *imapclient.Client, mailbox, content string, flags ...imap.Flag) imap.UID {
	t.Helper()
	a := c.Append(mailbox, int64(len(content)), &imap.AppendOptions{Flags: flags})
	_, err := a.Write([]byte(content))
	must(t, err)
	must(t, a.Close())
	data, err := a.Wait()
	must(t, err)
	return data.UID
}

// contains fails the test for each of the wanted texts that is not in got.
func contains(t *testing.T, what, got string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, got)
		}
	}
}
