package remote

import (
	"slices"
	"strings"
	"testing"

	"posthaste/mail"
)

// offering returns a host that offers the keywords.
func offering(keywords ...string) *host {
	h := &host{replies: make(map[string][]string)}
	for _, k := range keywords {
		h.offers = append(h.offers, "250-"+k)
	}
	return h
}

func TestPhases(t *testing.T) {
	const second = "250 2.1.9 second"
	for _, c := range []struct {
		claim   string
		key     string // of the reply that is unusual
		replies []string
		want    string // outcome for bob, prefix
		next    bool   // the second host was tried
	}{
		{"all well", "", nil, "250 2.1.9 taken", false},
		{"a greeting of 5xx sends to the next host", "greeting", []string{"554 no service here"}, second, true},
		{"a greeting of 4xx sends to the next host", "greeting", []string{"421 too busy"}, second, true},
		{"a lost connection for a greeting sends to the next host", "greeting", []string{"drop"}, second, true},
		{"a greeting that is no SMTP sends to the next host", "greeting", []string{"SSH-2.0-OpenSSH"}, second, true},
		{"EHLO refused for now sends to the next host", "EHLO", []string{"450 4.3.2 not now"}, second, true},
		{"EHLO not known falls back to HELO", "EHLO", []string{"500 what?"}, "250 2.1.9 taken", false},
		{"a connection lost in EHLO sends to the next host", "EHLO", []string{"drop"}, second, true},
		{"MAIL refused for good is an outcome", "MAIL", []string{"550 5.7.1 go away"}, "550 5.7.1 go away", false},
		{"MAIL refused for now sends to the next host", "MAIL", []string{"451 4.3.0 later"}, second, true},
		{"421 to MAIL sends to the next host", "MAIL", []string{"421 4.3.2 closing"}, second, true},
		{"a connection lost in MAIL sends to the next host", "MAIL", []string{"drop"}, second, true},
		{"RCPT refused for good is an outcome", "RCPT", []string{"550 5.1.1 no such user"}, "550 5.1.1 no such user", false},
		{"RCPT refused for now is an outcome", "RCPT", []string{"450 4.2.1 greylisted"}, "450 4.2.1 greylisted", false},
		{"421 to RCPT sends to the next host", "RCPT", []string{"421 4.3.2 closing"}, second, true},
		{"a connection lost in RCPT sends to the next host", "RCPT", []string{"drop"}, second, true},
		{"a malformed reply sends to the next host", "RCPT", []string{"250-one\n550 two"}, second, true},
		{"DATA refused for good is an outcome", "DATA", []string{"554 5.7.1 spam"}, "554 5.7.1 spam", false},
		{"DATA refused for now is an outcome", "DATA", []string{"451 4.3.0 disk"}, "451 4.3.0 disk", false},
		{"421 to DATA sends to the next host", "DATA", []string{"421 4.3.2 closing"}, second, true},
		{"a connection lost in DATA sends to the next host", "DATA", []string{"drop"}, second, true},
		{"DATA answered by 250 is later", "DATA", []string{"250 ok?"}, "451 4.5.0 unexpected reply", false},
		{"content refused for good is an outcome", ".", []string{"552 5.2.2 full"}, "552 5.2.2 full", false},
		{"content refused for now is an outcome", ".", []string{"451 4.3.0 disk"}, "451 4.3.0 disk", false},
		{"421 after the content is later, not the next host", ".", []string{"421 4.3.2 closing"}, "421 4.3.2 closing", false},
		{"a connection lost after the content is later, not the next host", ".", []string{"drop"}, "451 4.4.2 mx1.south.test: waiting for the reply to the end of the message: the connection was lost", false},
		{"354 after the content is later", ".", []string{"354 more?"}, "451 4.5.0 unexpected reply", false},
	} {
		for _, offers := range [][]string{nil, {"PIPELINING"}} {
			t.Run(c.claim+" "+strings.Join(offers, ""), func(t *testing.T) {
				first, backup := offering(offers...), offering(offers...)
				if c.key != "" {
					first.replies[c.key] = c.replies
				}
				backup.replies["."] = []string{"250 2.0.0 second"}
				w := newWorld(t, Config{}, first, backup)
				got := w.send(t, mail.Envelope{}, plainContent, "bob")
				if !strings.HasPrefix(got[0], c.want) || (backup.conns > 0) != c.next {
					t.Errorf("got %q, next host tried: %v; want %q, %v\n%s", got, backup.conns > 0, c.want, c.next, w.story.texts())
				}
				if strings.HasPrefix(got[0], "250") && len(first.taken())+len(backup.taken()) != 1 {
					t.Errorf("taken %d and %d times, want once in all", len(first.taken()), len(backup.taken()))
				}
			})
		}
	}
}

func TestContentLostOnItsWayGoesToTheNextHost(t *testing.T) {
	first, backup := offering(), offering()
	first.replies["content"] = []string{"drop"}
	w := newWorld(t, Config{}, first, backup)
	got := w.send(t, mail.Envelope{}, "A: b\r\n\r\n"+strings.Repeat("x", 16<<20)+"\r\n", "bob")
	if got[0] != "250 2.1.9 taken" || len(backup.taken()) != 1 {
		t.Errorf("got %q, backup took %d", got, len(backup.taken()))
	}
}

func TestAllHostsFailing(t *testing.T) {
	refuse := func(text string) *host {
		h := offering()
		h.replies["greeting"] = []string{text}
		return h
	}
	for _, c := range []struct {
		claim string
		hosts []*host
		want  string
	}{
		{"nobody listens: later", []*host{nil, nil}, "451 4.4.1 mx1.south.test [192.0.2.1]:25: cannot connect: connection refused"},
		{"one may work later: later", []*host{refuse("554 5.3.2 no"), nil}, "451 4.4.1 mx2.south.test"},
		{"all refuse for good: for good", []*host{refuse("554 5.3.2 no"), refuse("554 5.3.2 never")}, "554 5.3.2 no"},
	} {
		w := newWorld(t, Config{}, c.hosts...)
		if got := w.send(t, mail.Envelope{}, plainContent, "bob"); !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
		}
	}
}

func TestDialogue(t *testing.T) {
	ann := mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}}
	for _, c := range []struct {
		claim  string
		offers []string
		env    mail.Envelope
		text   string
		want   []string
	}{
		{"nothing is assumed", nil, mail.Envelope{From: ann, Ret: "FULL"}, plainContent,
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test>", "RCPT TO:<bob@south.test>", "DATA"}},
		{"DSN parameters are passed on", []string{"DSN", "SIZE"}, mail.Envelope{From: ann, Ret: mail.RetHdrs, EnvID: "a+b c"}, plainContent,
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test> SIZE=33 RET=HDRS ENVID=a+2Bb+20c", "RCPT TO:<bob@south.test>", "DATA"}},
		{"8-bit content is declared", []string{"8BITMIME"}, mail.Envelope{From: ann}, "A: b\r\n\r\nü\r\n",
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test> BODY=8BITMIME", "RCPT TO:<bob@south.test>", "DATA"}},
		{"BDAT is used where offered", []string{"CHUNKING"}, mail.Envelope{From: ann}, plainContent,
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test>", "RCPT TO:<bob@south.test>", "BDAT 33 LAST"}},
		{"SMTPUTF8 is asked for only where needed", []string{"SMTPUTF8"}, mail.Envelope{From: ann, SMTPUTF8: true}, plainContent,
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test>", "RCPT TO:<bob@south.test>", "DATA"}},
		{"an international header needs SMTPUTF8", []string{"SMTPUTF8", "8BITMIME"}, mail.Envelope{From: ann, SMTPUTF8: true}, "Subject: ü\r\n\r\n",
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test> BODY=8BITMIME SMTPUTF8", "RCPT TO:<bob@south.test>", "DATA"}},
		{"binary content goes as it is", []string{"CHUNKING", "BINARYMIME"}, mail.Envelope{From: ann, Body: mail.BodyBinary}, "A: b\r\n\r\n\x00\n\r\n",
			[]string{"EHLO mail.north.test", "MAIL FROM:<ann@north.test> BODY=BINARYMIME", "RCPT TO:<bob@south.test>", "BDAT 12 LAST"}},
	} {
		h := offering(c.offers...)
		w := newWorld(t, Config{Idle: -1}, h)
		got := w.send(t, c.env, c.text, "bob")
		if !strings.HasPrefix(got[0], "250") || !slices.Equal(h.seen(), append(c.want, "QUIT")) {
			t.Errorf("%s: %q\ngot  %q\nwant %q", c.claim, got, h.seen(), c.want)
		}
	}
}

func TestRecipientParameters(t *testing.T) {
	ext := extensions{dsn: true}
	to := mail.Address{Local: "bob", Domain: "south.test"}
	for _, c := range []struct {
		rcpt mail.Recipient
		want string
	}{
		{mail.Recipient{Address: to}, "RCPT TO:<bob@south.test>"},
		{mail.Recipient{Address: to, ORcpt: "utf-8;jürgen@x"}, `RCPT TO:<bob@south.test> ORCPT=utf-8;j\x{FC}rgen@x`},
		{mail.Recipient{Address: to, Notify: mail.NotifyNever}, "RCPT TO:<bob@south.test> NOTIFY=NEVER"},
		{mail.Recipient{Address: to, Notify: mail.NotifySuccess | mail.NotifyDelay, ORcpt: "rfc822;b+ob@x"}, "RCPT TO:<bob@south.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bob@x"},
	} {
		if got := rcptLine(c.rcpt, ext); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestContentArrivesAsItWas(t *testing.T) {
	for _, c := range []struct {
		claim, content, want string
		offers               []string
	}{
		{"dots are doubled on the wire", plainContent, "Subject: hi\r\n\r\nhello\r\n..\r\n...dots\r\n", nil},
		{"a first dot too", ".x\r\n", "..x\r\n", nil},
		{"a last line without end gets one", "A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n", nil},
		{"a bare LF before a dot cannot end the content", "A: b\r\n\r\nx\n.\nMAIL FROM:<>\r\n", "A: b\r\n\r\nx\r\n..\r\nMAIL FROM:<>\r\n", nil},
		{"a bare CR cannot either", "A: b\r\n\r\nx\r.\r\rQUIT\r\n", "A: b\r\n\r\nx\r\n..\r\n\r\nQUIT\r\n", nil},
		{"BDAT doubles nothing", plainContent, plainContent, []string{"CHUNKING"}},
		{"large content comes in chunks", strings.Repeat("0123456\r\n", chunkSize/4), strings.Repeat("0123456\r\n", chunkSize/4), []string{"CHUNKING"}},
		{"empty content", "", "", nil},
		{"8-bit content stays where it may", "A: b\r\n\r\nü\r\n", "A: b\r\n\r\nü\r\n", []string{"8BITMIME"}},
	} {
		h := offering(c.offers...)
		w := newWorld(t, Config{}, h)
		got := w.send(t, mail.Envelope{}, c.content, "bob")
		if !strings.HasPrefix(got[0], "250") || len(h.taken()) != 1 || h.taken()[0] != c.want {
			t.Errorf("%s: %q, the host got %.200q", c.claim, got, h.taken())
		}
	}
}

func TestEightBitContentIsEncodedForOldHosts(t *testing.T) {
	h := offering("PIPELINING")
	w := newWorld(t, Config{}, h)
	const content = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngrün\r\n"
	got := w.send(t, mail.Envelope{Body: mail.Body8Bit}, content, "bob")
	if got[0] != "250 2.1.9 taken" || has8Bit([]byte(h.taken()[0])) || !strings.Contains(h.taken()[0], "gr=C3=BCn") {
		t.Errorf("%q: the host got %q", got, h.taken())
	}
}

func TestBinaryContentIsEncodedForHostsThatTakeLines(t *testing.T) {
	const head = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: "
	for _, offers := range [][]string{nil, {"8BITMIME"}, {"8BITMIME", "CHUNKING"}} {
		h := offering(offers...)
		w := newWorld(t, Config{}, h)
		got := w.send(t, mail.Envelope{Body: mail.BodyBinary}, head+"binary\r\n\r\n\x00\xff\n\x00\rn", "bob")
		if got[0] != "250 2.1.9 taken" || h.taken()[0] != head+"base64\r\n\r\nAP8KAA1u\r\n" {
			t.Errorf("%q: %q: the host got %q", offers, got, h.taken())
		}
	}
}

func TestWhatTheHostCannotTake(t *testing.T) {
	utf8 := mail.Envelope{SMTPUTF8: true}
	from := mail.Envelope{From: mail.ReversePath{Address: mail.Address{Local: "änn", Domain: "north.test"}}, SMTPUTF8: true}
	for _, c := range []struct {
		claim  string
		offers []string
		env    mail.Envelope
		text   string
		to     []string
		want   []string // prefixes
	}{
		{"too large by SIZE", []string{"SIZE 20"}, mail.Envelope{}, plainContent, []string{"bob"}, []string{"552 5.3.4"}},
		{"one recipient beyond ASCII", nil, utf8, plainContent, []string{"bob", "jörg"}, []string{"250", "553 5.6.7"}},
		{"a sender beyond ASCII", nil, from, plainContent, []string{"bob"}, []string{"553 5.6.7"}},
		{"a header beyond ASCII", []string{"8BITMIME"}, utf8, "Subject: ü\r\n\r\n", []string{"bob"}, []string{"553 5.6.7"}},
		{"TLS on the whole way", nil, mail.Envelope{RequireTLS: true}, plainContent, []string{"bob"}, []string{"550 5.7.30"}},
		{"an address that breaks out", nil, mail.Envelope{}, plainContent, []string{"bob>\r\nQUIT", "carol"}, []string{"550 5.1.3", "250"}},
	} {
		h := offering(c.offers...)
		w := newWorld(t, Config{}, h)
		got := w.send(t, c.env, c.text, c.to...)
		for i := range c.want {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: got %q, want %q", c.claim, got, c.want)
			}
		}
	}
}

func TestRecipientsAreToldApart(t *testing.T) {
	for _, offers := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		h := offering(offers...)
		h.replies["RCPT TO:<no@south.test>"] = []string{"550 5.1.1 unknown"}
		h.replies["RCPT TO:<later@south.test>"] = []string{"450 4.2.1 greylisted"}
		w := newWorld(t, Config{}, h)
		got := w.send(t, mail.Envelope{}, plainContent, "bob", "no", "later", "carol")
		want := []string{"250 2.1.9 taken", "550 5.1.1 unknown", "450 4.2.1 greylisted", "250 2.1.9 taken"}
		if !slices.Equal(got, want) || len(h.taken()) != 1 {
			t.Errorf("%v: got %q, want %q", offers, got, want)
		}
	}
}

func TestManyRecipientsAreSplit(t *testing.T) {
	limited := 0
	h := offering("PIPELINING", "DSN")
	h.answer = func(line string) string {
		switch {
		case strings.HasPrefix(line, "MAIL") || line == "MAIL":
			limited = 0
		case strings.HasPrefix(line, "RCPT TO"):
			if limited++; limited > 40 {
				return "452 4.5.3 too many recipients"
			}
		}
		return ""
	}
	w := newWorld(t, Config{}, h)
	to := make([]string, 250)
	for i := range to {
		to[i] = "bob"
	}
	got := w.send(t, mail.Envelope{}, plainContent, to...)
	for i := range got {
		if got[i] != "250 2.0.0 taken" {
			t.Fatalf("recipient %d: %s", i, got[i])
		}
	}
	if n := len(h.taken()); n != 7 || h.conns != 1 {
		t.Errorf("%d transactions on %d connections, want 7 on 1", n, h.conns)
	}
}

func TestRefusedRecipientsLeaveTheSessionUsable(t *testing.T) {
	for _, data := range []string{"", "354 go on"} { // some say 354 though nobody is left (RFC 2920)
		h := offering("PIPELINING")
		h.replies["RCPT TO:<no@south.test>"] = []string{"550 5.1.1 unknown"}
		if data != "" {
			h.replies["DATA"] = []string{data}
		}
		w := newWorld(t, Config{}, h)
		first := w.send(t, mail.Envelope{}, plainContent, "no")
		second := w.send(t, mail.Envelope{}, plainContent, "bob")
		if first[0] != "550 5.1.1 unknown" || second[0] != "250 2.1.9 taken" || h.conns != 1 {
			t.Errorf("DATA %q: %q, then %q over %d connections\n%q", data, first, second, h.conns, h.seen())
		}
	}
}

func TestLMTPAnswersForEachRecipient(t *testing.T) {
	h := offering("PIPELINING", "DSN")
	h.lmtp = true
	h.replies["."] = []string{"250 2.1.5 in", "552 5.2.2 full", "drop"}
	w := newWorld(t, Config{}, nil, h)
	dest := Fixed("192.0.2.2", 25)
	dest.LMTP = true
	got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "a", "b", "c")
	if got[0] != "250 2.1.5 in" || got[1] != "552 5.2.2 full" || !strings.HasPrefix(got[2], "451 4.4.2") || h.seen()[0] != "LHLO mail.north.test" {
		t.Errorf("got %q after %q", got, h.seen())
	}
}
