package queue

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"posthaste/mail"
)

func FuzzEntryJSON(f *testing.F) {
	f.Add("ann@north.test", "450 \"later\"\\\n\x00\x7f", "mx\xff")
	f.Fuzz(func(t *testing.T, from, text, peer string) {
		e := newEntry(envelope("", "bob@south.test"), time.Now())
		e.Envelope.From.Local = from
		e.Recipients[0].Status = &mail.Status{Code: 450, Text: text, Peer: peer}
		var got struct {
			Sender     string
			Recipients []struct{ Address, State, Status, Reason string }
		}
		if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil {
			t.Fatalf("%v: %s", err, e.AppendJSON(nil))
		}
		want := text
		if peer != "" {
			want = peer + " said: " + text
		}
		if r := got.Recipients[0]; utf8.ValidString(want) && r.Reason != want || r.Status != "450" || r.State != "incoming" {
			t.Errorf("%+v, want %q", r, want)
		}
	})
}
