package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"posthaste/filter"
)

// FuzzReplies reads any bytes as all that a milter says after the end of a message.
func FuzzReplies(f *testing.F) {
	place := cstring(cstring(binary.BigEndian.AppendUint32(nil, 1), "Subject"), "x\n y")
	f.Add(bytes.Join([][]byte{packetOf('p'), packetOf('h', "X", "y"), appendPacket(nil, 'i', place), appendPacket(nil, 'm', place), packetOf('e', "<a@b.test>", "RET=HDRS"),
		packetOf('2', "<a@b.test>", "NOTIFY=NEVER"), packetOf('-', "<a@b.test>"), packetOf('b', "body"), packetOf('q', "why"), packetOf('y', "550-5.7.1 a\r\n550 5.7.1 b%%")}, nil))
	f.Add(packetOf('4'))
	s := &Session{client: &Client{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		var c changes
		for {
			p, err := readPacket(r)
			if err != nil {
				return
			}
			known, err := c.add(p)
			if err != nil {
				return
			}
			if known || p.code == replyProgress {
				continue
			}
			a, err := parseAnswer(p)
			if err != nil {
				return
			}
			check(t, s.result(a, c))
			return
		}
	})
}

// check goes over what a result may not hold, whatever the milter said.
func check(t *testing.T, r filter.Result) {
	if r.Reply != nil && (r.Reply.Code < 400 || r.Reply.Code > 599 || strings.ContainsAny(r.Reply.Text, "\r\x00")) {
		t.Errorf("reply %+v", r.Reply)
	}
	if len(r.Edits.Fields) > maxChanges || len(r.Edits.Add) > maxChanges || len(r.Edits.Remove) > maxChanges {
		t.Error("more changes than allowed")
	}
	const before = "A: 1\r\nSubject: 2\r\n\r\nbody\r\n"
	header, _, _ := strings.Cut(string(r.Edits.Apply([]byte(before))), "\r\n\r\n")
	for line := range strings.SplitSeq(header, "\r\n") {
		if line != "" && line[0] != ' ' && line[0] != '\t' && !strings.Contains(line, ":") {
			t.Errorf("a change made the line %q", line)
		}
	}
}

// FuzzNegotiation reads any bytes as the macros that a milter asks for.
func FuzzNegotiation(f *testing.F) {
	f.Add(cstring(binary.BigEndian.AppendUint32(nil, 2), "i {mail_addr}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseMacroList(b)
		if err != nil {
			return
		}
		for code := range stages {
			if data := (macros{"i": "x", "{mail_addr}": "y"}).data(code, list.of(code)); len(data) > maxChunk || data[0] != code {
				t.Errorf("%c: %d bytes of macros", code, len(data))
			}
		}
	})
}
