package imapd

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestGoClient runs emersion's client against the server over TLS.
func TestGoClient(t *testing.T) {
	config, pool := testTLS(t)
	site := newSite(t, func(c *Config) { c.TLS, c.ImplicitTLS, c.PlaintextAuth = config, true, false })
	site.deliver(t, "Subject: =?utf-8?q?caf=C3=A9?=\r\nFrom: Bob <bob@south.test>\r\n\r\nhello\r\n")
	news := make(chan uint32, 10)
	c, err := imapclient.DialTLS(site.listen(t), &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: pool, ServerName: "mail.north.test"},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				news <- *data.NumMessages
			}
		}},
	})
	must(t, err)
	defer c.Close()
	must(t, c.Login(testLogin, testPassword).Wait())
	selected, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if selected.NumMessages != 1 || selected.UIDNext != 2 || selected.HighestModSeq == 0 {
		t.Errorf("SELECT: %+v", selected)
	}
	messages, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{Envelope: true, Flags: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	must(t, err)
	if len(messages) != 1 || messages[0].Envelope.Subject != "café" || messages[0].Envelope.From[0].Addr() != "bob@south.test" ||
		!bytes.HasSuffix(messages[0].BodySection[0].Bytes, []byte("\r\n\r\nhello\r\n")) || messages[0].BodyStructure.MediaType() != "text/plain" {
		t.Errorf("FETCH: %+v", messages)
	}
	literal := c.Append("Archive", 5, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	io.WriteString(literal, "x:y\r\n")
	must(t, literal.Close())
	appended, err := literal.Wait()
	must(t, err)
	if appended.UID != 1 {
		t.Errorf("APPEND: %+v", appended)
	}
	copied, err := c.Copy(imap.SeqSetNum(1), "Été").Wait()
	if err == nil {
		t.Errorf("COPY to nowhere: %+v", copied)
	}
	must(t, c.Create("Été", nil).Wait())
	copied, err = c.Copy(imap.SeqSetNum(1), "Été").Wait()
	must(t, err)
	if copied.UIDValidity == 0 || len(copied.DestUIDs) != 1 {
		t.Errorf("COPY: %+v", copied)
	}
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, Size: true}}).Collect()
	must(t, err)
	if len(list) != 7 {
		t.Errorf("LIST: %d mailboxes", len(list))
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "CAFÉ"}}},
		&imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	must(t, err)
	if found.Count != 1 {
		t.Errorf("SEARCH: %+v", found)
	}
	idle, err := c.Idle()
	must(t, err)
	site.deliver(t, "Subject: two\r\n\r\n")
	for n := range news {
		if n == 2 {
			break
		}
	}
	must(t, idle.Close())
	must(t, idle.Wait())
	moved, err := c.Move(imap.SeqSetNum(2), "Trash").Wait()
	must(t, err)
	if moved.UIDValidity == 0 {
		t.Errorf("MOVE: %+v", moved)
	}
	must(t, c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	gone, err := c.Expunge().Collect()
	must(t, err)
	if len(gone) != 1 {
		t.Errorf("EXPUNGE: %v", gone)
	}
	must(t, c.Logout().Wait())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
