package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

func TestAddressesAreThoseOfPostfix(t *testing.T) {
	for _, c := range []struct{ text, network, address string }{
		{"inet:localhost:8891", "tcp", "localhost:8891"},
		{"inet:[::1]:8891", "tcp", "[::1]:8891"},
		{"unix:/run/opendkim.sock", "unix", "/run/opendkim.sock"},
		{"local:/run/opendkim.sock", "unix", "/run/opendkim.sock"},
		{"inet:8891", "", ""}, {"inet:host:", "", ""}, {"unix:run/x", "", ""}, {"/run/x", "", ""}, {"", "", ""},
	} {
		c2, err := New(Config{Address: c.text})
		switch {
		case (err == nil) != (c.network != ""):
			t.Errorf("%q: %v", c.text, err)
		case err == nil && (c2.network != c.network || c2.address != c.address || c2.Name() != c.text):
			t.Errorf("%q: got %s %s", c.text, c2.network, c2.address)
		}
	}
}

func TestScanTellsTheWholeSession(t *testing.T) {
	s := &script{unix: true}
	r, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain, "ann@north.test", "eve@north.test"))
	if err != nil || r.Action != mail.Accept || !r.Edits.Empty() || len(r.Findings) != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want := []string{
		"DCj|mx.north.test|{daemon_name}|mx.north.test|v|Posthaste|_|out.client.test [192.0.2.1]|{client_addr}|192.0.2.1|{client_name}|out.client.test|{client_port}|0|{client_ptr}|out.client.test|",
		"Cout.client.test|4||192.0.2.1|",
		"DH{tls_version}|TLSv1.3|{cipher}|TLS_AES_128_GCM_SHA256|{cipher_bits}|128|",
		"Hhelo.client.test|",
		"DMi|01JDXAMPLE000001|{mail_addr}|bob@client.test|{mail_host}|client.test|{mail_mailer}|smtp|",
		"M<bob@client.test>|SIZE=71|",
		"DRi|01JDXAMPLE000001|{rcpt_addr}|ann@north.test|{rcpt_host}|north.test|{rcpt_mailer}|smtp|",
		"R<ann@north.test>|",
		"DRi|01JDXAMPLE000001|{rcpt_addr}|eve@north.test|{rcpt_host}|north.test|{rcpt_mailer}|smtp|",
		"R<eve@north.test>|",
		"DTi|01JDXAMPLE000001|", "T",
		"LFrom|Bob <bob@client.test>|", "LSubject|a long\n line|", "LX-Empty||",
		"DNi|01JDXAMPLE000001|", "N",
		"Bbody\r\n",
		"DEi|01JDXAMPLE000001|{mail_addr}|bob@client.test|", "E",
	}
	got := s.heard[1:]
	if n := len(got); n > 0 && got[n-1] == "Q" { // the goodbye, which nobody waits for
		got = got[:n-1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAMilterSaysBecomesAResult(t *testing.T) {
	place := func(n uint32, texts ...string) []byte {
		data := binary.BigEndian.AppendUint32(nil, n)
		for _, s := range texts {
			data = cstring(data, s)
		}
		return data
	}
	done := appendPacket(nil, replyContinue)
	address := func(s string) mail.Address {
		a, _, _ := strings.Cut(s, "@")
		return mail.Address{Local: a, Domain: "north.test"}
	}
	from := mail.ReversePath{Address: address("x@north.test")}
	for _, c := range []struct {
		name    string
		code    byte // of the command answered
		packets [][]byte
		want    filter.Result // findings apart
		rule    string
	}{
		{"reject at connect", 'C', [][]byte{packetOf('r')}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(550, "5.7.1", "refused by a filter"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"a reply of its own at HELO", 'H', [][]byte{packetOf('y', "554 5.7.9 not %% you")}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(554, "5.7.9", "not % you"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"several lines at MAIL", 'M', [][]byte{packetOf('y', "450-4.2.0 one\r\n450 4.2.0 two")}, filter.Result{Action: mail.Greylist, Reply: mail.NewStatus(450, "4.2.0", "one\ntwo"), Reason: "tested puts the message off"}, "MILTER_LATER"},
		{"shutdown", 'H', [][]byte{packetOf('4')}, filter.Result{Action: mail.Greylist, Reply: mail.NewStatus(421, "4.7.0", "a filter ends this session, try again later"), Reason: "tested puts the message off"}, "MILTER_LATER"},
		{"tempfail at RCPT puts all off", 'R', [][]byte{packetOf('t')}, filter.Result{Action: mail.Greylist, Reply: mail.NewStatus(451, "4.7.1", "a filter asks to try again later"), Reason: "tested puts the message off"}, "MILTER_LATER"},
		{"all recipients refused", 'R', [][]byte{packetOf('y', "550 no")}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(550, "5.7.1", "no"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"accept at connect", 'C', [][]byte{packetOf('a')}, filter.Result{}, ""},
		{"accept at RCPT", 'R', [][]byte{packetOf('a')}, filter.Result{}, ""},
		{"discard at MAIL", 'M', [][]byte{packetOf('d')}, filter.Result{Discard: true, Reason: "tested discards the message"}, "MILTER_DISCARDED"},
		{"reject at DATA", 'T', [][]byte{packetOf('y', "552 5.3.4 big")}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(552, "5.3.4", "big"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"accept in the header", 'L', [][]byte{packetOf('a')}, filter.Result{}, ""},
		{"tempfail at the end of the header", 'N', [][]byte{packetOf('t')}, filter.Result{Action: mail.Greylist, Reply: mail.NewStatus(451, "4.7.1", "a filter asks to try again later"), Reason: "tested puts the message off"}, "MILTER_LATER"},
		{"discard in the body", 'B', [][]byte{packetOf('d')}, filter.Result{Discard: true, Reason: "tested discards the message"}, "MILTER_DISCARDED"},
		{"progress, then reject", 'E', [][]byte{packetOf('p'), packetOf('p'), packetOf('r')}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(550, "5.7.1", "refused by a filter"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"what is refused is not changed", 'E', [][]byte{packetOf('h', "X", "y"), packetOf('r')}, filter.Result{Action: mail.Reject, Reply: mail.NewStatus(550, "5.7.1", "refused by a filter"), Reason: "tested refuses the message"}, "MILTER_REFUSED"},
		{"quarantine", 'E', [][]byte{packetOf('q', "odd"), done}, filter.Result{Action: mail.Quarantine, Reason: "tested holds the message: odd"}, "MILTER_QUARANTINED"},
		{"fields", 'E', [][]byte{packetOf('h', "X-A", "1"), appendPacket(nil, 'i', place(2, "X-B", " 2\n 3")), appendPacket(nil, 'm', place(1, "Subject", "")), packetOf('a')},
			filter.Result{Edits: filter.Edits{Fields: []filter.FieldEdit{{Op: filter.AddField, Name: "X-A", Value: "1"}, {Op: filter.InsertField, At: 2, Name: "X-B", Value: " 2\n 3"}, {Op: filter.ChangeField, At: 1, Name: "Subject"}}}}, ""},
		{"the body in chunks", 'E', [][]byte{appendPacket(nil, 'b', []byte("new\n")), appendPacket(nil, 'b', []byte("body\r\n")), done}, filter.Result{Edits: filter.Edits{Body: []byte("new\r\nbody\r\n")}}, ""},
		{"an empty body", 'E', [][]byte{packetOf('b'), done}, filter.Result{Edits: filter.Edits{Body: []byte{}}}, ""},
		{"the envelope", 'E', [][]byte{packetOf('e', "<x@north.test>"), packetOf('+', "y@north.test"), packetOf('-', "<ann@north.test>"), done},
			filter.Result{Edits: filter.Edits{From: &from, Add: []mail.Address{address("y@north.test")}, Remove: []mail.Address{address("ann@north.test")}}}, ""},
		{"the envelope with arguments", 'E', [][]byte{packetOf('e', "<x@north.test>", "RET=HDRS"), packetOf('2', "<y@north.test>", "NOTIFY=NEVER"), done},
			filter.Result{Edits: filter.Edits{From: &from, Add: []mail.Address{address("y@north.test")}}}, "MILTER_ARGUMENTS"},
		{"the null sender", 'E', [][]byte{packetOf('e', "<>"), done}, filter.Result{Edits: filter.Edits{From: new(mail.ReversePath)}}, ""},
	} {
		s := &script{answers: map[byte]func([]byte) []byte{c.code: raw(c.packets...)}}
		got, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain))
		rule := ""
		if len(got.Findings) > 0 {
			rule = got.Findings[0].Rule
		}
		got.Findings = nil
		if err != nil || !reflect.DeepEqual(got, c.want) || rule != c.rule {
			t.Errorf("%s: got %+v (%s), %v; want %+v (%s)", c.name, got, rule, err, c.want, c.rule)
		}
	}
}

func TestAMilterThatBreaksTheProtocolIsAnErrorAndNoAnswer(t *testing.T) {
	many := func(p []byte) [][]byte { return slices.Repeat([][]byte{p}, maxChanges+1) }
	for _, c := range []struct {
		name    string
		code    byte
		packets [][]byte
	}{
		{"an unknown reply", 'H', [][]byte{packetOf('Z')}},
		{"a change before the end", 'M', [][]byte{packetOf('h', "X", "y")}},
		{"a packet of no length", 'H', [][]byte{{0, 0, 0, 0, 'c'}}},
		{"a packet of 4 GB", 'H', [][]byte{{0xFF, 0xFF, 0xFF, 0xFF, 'c'}}},
		{"another reply than 4xx and 5xx", 'H', [][]byte{packetOf('y', "250 fine")}},
		{"a reply without code", 'H', [][]byte{packetOf('y', "go away")}},
		{"an empty reply", 'H', [][]byte{packetOf('y')}},
		{"a field without name", 'E', [][]byte{packetOf('h', "", "y"), packetOf('a')}},
		{"a name that makes a second field", 'E', [][]byte{packetOf('h', "X: y\r\nZ", "y"), packetOf('a')}},
		{"a field without place", 'E', [][]byte{appendPacket(nil, 'i', []byte{0}), packetOf('a')}},
		{"an address that is none", 'E', [][]byte{packetOf('+', "<a b@c>"), packetOf('a')}},
		{"a sender that is none", 'E', [][]byte{packetOf('e', "<a\r\n@c>"), packetOf('a')}},
		{"no recipient", 'E', [][]byte{packetOf('-', "<>"), packetOf('a')}},
		{"more fields than allowed", 'E', many(packetOf('h', "X", "y"))},
		{"more recipients than allowed", 'E', many(packetOf('+', "<a@b.test>"))},
		{"no negotiation", 'O', [][]byte{packetOf('c')}},
		{"a short negotiation", 'O', [][]byte{appendPacket(nil, 'O', make([]byte, 11))}},
		{"version 7", 'O', [][]byte{appendPacket(nil, 'O', []byte{0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0})}},
		{"macros without end", 'O', [][]byte{appendPacket(nil, 'O', []byte{0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'i'})}},
	} {
		s := &script{answers: map[byte]func([]byte) []byte{c.code: raw(c.packets...)}}
		r, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain))
		var status *mail.Status
		if !errors.Is(err, errProtocol) || errors.As(err, &status) {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
}

func TestALargerBodyThanAllowedIsAnError(t *testing.T) {
	var c changes
	chunk := packet{replyBody, make([]byte, 1<<20)}
	for n := 0; ; n += len(chunk.data) {
		if _, err := c.add(chunk); (err != nil) != (n+len(chunk.data) > maxBody) {
			t.Fatalf("after %d bytes: %v", n, err)
		} else if err != nil {
			return
		}
	}
}

func TestARefusedRecipientIsTakenOut(t *testing.T) {
	s := &script{answers: map[byte]func([]byte) []byte{'R': func(data []byte) []byte {
		if strings.HasPrefix(string(data), "<eve@") {
			return packetOf('y', "550 5.1.1 no eve")
		}
		return packetOf('c')
	}}}
	r, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain, "ann@north.test", "eve@north.test"))
	if err != nil || r.Action != mail.Accept || len(r.Edits.Remove) != 1 || r.Edits.Remove[0].Local != "eve" ||
		len(r.Findings) != 1 || r.Findings[0].Evidence != "tested: eve@north.test: 550 5.1.1 no eve" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestFlagsAreHonoured(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags uint32
		want  string // codes of the commands that a milter hears
	}{
		{"all", 0, "CHMRTLLLNBE"},
		{"nothing but the end", noConnect | noHelo | noMail | noRcpt | noData | noHeaders | noEOH | noBody, "E"},
		{"all without an answer before the end", noConnectReply | noHeloReply | noMailReply | noRcptReply | noDataReply | noHeaderReply | noEOHReply | noBodyReply, "CHMRTLLLNBE"},
		{"no body", noBody | noHeaderReply, "CHMRTLLLNE"},
	} {
		s := &script{version: 6, actions: 0, flags: c.flags}
		if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := ""
		for _, h := range s.heardOf("CHMRTLNBE") {
			got += h[:1]
		}
		if got != c.want {
			t.Errorf("%s: heard %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAnOldMilterHearsNoDATAAndALeadingSpaceOnlyWhoWants(t *testing.T) {
	s := &script{version: 2, actions: 0x3F}
	if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain)); err != nil || len(s.heardOf("T")) != 0 {
		t.Errorf("version 2: %v, heard %q", err, s.heardOf("T"))
	}
	s = &script{version: 6, flags: leadingSpace}
	if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain)); err != nil || s.heardOf("L")[1] != "LSubject| a long\n line|" {
		t.Errorf("%v, heard %q", err, s.heardOf("L"))
	}
}

func TestMacrosAreThoseTheMilterAskedFor(t *testing.T) {
	symbols := cstring(binary.BigEndian.AppendUint32(nil, 2), "mail_addr, i")
	symbols = cstring(binary.BigEndian.AppendUint32(symbols, 99), "unknown stage")
	s := &script{version: 6, symbols: symbols}
	if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, plain)); err != nil {
		t.Fatal(err)
	}
	if got := s.heardOf("D")[2]; got != "DMmail_addr|bob@client.test|i|01JDXAMPLE000001|" {
		t.Errorf("heard %q", got)
	}
}

func TestABigBodyComesInChunksUntilTheMilterHasEnough(t *testing.T) {
	size := 2<<20 + 480 // so that the last chunk is long enough to be counted
	if filtertest.Torture() {
		size = 50 << 20
	}
	content := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcde\n", size/16)
	s := &script{version: 6, flags: noBodyReply}
	if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, content)); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, h := range s.heardOf("B") {
		var n int
		fmt.Sscanf(h, "B%d bytes", &n)
		if sum += n; n > maxChunk {
			t.Fatalf("a chunk of %d bytes", n)
		}
	}
	if sum != size {
		t.Errorf("heard %d bytes, want %d", sum, size)
	}
	s = &script{answers: map[byte]func([]byte) []byte{'B': raw(packetOf('s'))}}
	content = content[:4*maxChunk]
	if _, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, content)); err != nil || len(s.heardOf("B")) != 1 || len(s.heardOf("E")) != 1 {
		t.Errorf("%v: %d chunks after skip", err, len(s.heardOf("B")))
	}
}

func TestOddContentKeepsItsFrames(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"only a header", "Subject: x\r\n\r\n", []string{"LSubject|x|"}},
		{"nothing", "", nil},
		{"NUL in a field", "Subject: a\x00b\r\n\r\n\x00\xFF", []string{"LSubject|a b|", "B|\xFF"}},
		{"a megabyte in one field", "X: " + strings.Repeat("y", 1<<20) + "\r\n\r\n", []string{"LX|" + strings.Repeat("y", maxChunk-3) + "|"}},
		{"a line that is no field", "Subject: x\r\nnonsense\r\n\r\n", []string{"LSubject|x|"}},
	} {
		s := &script{}
		_, err := s.start(t).Scan(t.Context(), filtertest.Mail(t, c.content))
		if got := s.heardOf("LB"); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, heard %.200q", c.name, err, got)
		}
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	for _, code := range []byte("OCMEB") {
		s := &script{answers: map[byte]func([]byte) []byte{code: func([]byte) []byte { <-hang; return nil }}}
		client := s.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := client.Scan(ctx, filtertest.Mail(t, plain))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%c: %v", code, err)
		}
	}
	close(hang)
	// Progress for ever is not progress.
	s := &script{answers: map[byte]func([]byte) []byte{'E': raw(slices.Repeat([][]byte{packetOf('p')}, 100)...)}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.start(t).Scan(ctx, filtertest.Mail(t, plain)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("progress: %v", err)
	}
}

func TestASessionTellsSeveralMessages(t *testing.T) {
	s := &script{answers: map[byte]func([]byte) []byte{'R': func(data []byte) []byte {
		if strings.HasPrefix(string(data), "<eve@") {
			return packetOf('t')
		}
		return packetOf('c')
	}}}
	session, err := s.start(t).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := filtertest.Mail(t, plain, "ann@north.test", "eve@north.test")
	ctx, o := t.Context(), m.Envelope.Origin
	if err := errors.Join(session.Connect(ctx, o), session.Helo(ctx, o)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := errors.Join(session.Mail(ctx, m.Envelope, 0), session.Rcpt(ctx, m.Envelope.Recipients[0])); err != nil {
			t.Fatal(err)
		}
		var status *mail.Status
		if err := session.Rcpt(ctx, m.Envelope.Recipients[1]); !errors.As(err, &status) || status.Code != 451 {
			t.Errorf("eve: %v", err)
		}
		if r, err := session.Message(ctx, m); err != nil || !r.Edits.Empty() {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if err := session.Mail(ctx, m.Envelope, 0); err != nil {
		t.Error(err)
	}
	session.Reset()
	session.Close()
	if err := session.Mail(ctx, m.Envelope, 0); !errors.Is(err, ErrOver) {
		t.Errorf("after Close: %v", err)
	}
	if got := len(s.heardOf("C")) + len(s.heardOf("E")); got != 4 {
		t.Errorf("%d connects and ends, want 1 and 3", got)
	}
}

// BenchmarkScan asks a milter that wants an answer to everything, on loopback.
func BenchmarkScan(b *testing.B) {
	c := (&script{}).start(b)
	m := filtertest.Mail(b, plain+strings.Repeat("0123456789abcde\r\n", 200))
	for b.Loop() {
		if _, err := c.Scan(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
