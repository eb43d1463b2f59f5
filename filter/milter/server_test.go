package milter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/smtp"
)

// A script is a milter of the tests that speaks the bare protocol, so that it can do what libraries
// refuse to: it answers each command by its code, and continues where it says nothing.
type script struct {
	version, actions, flags uint32
	symbols                 []byte
	answers                 map[byte]func(data []byte) []byte // raw packets to send; nil sends nothing

	mu    sync.Mutex // guards what follows
	heard []string   // commands with their data, NUL as |
}

// packetOf returns a packet with texts that end in NUL.
func packetOf(code byte, texts ...string) []byte {
	var data []byte
	for _, t := range texts {
		data = cstring(data, t)
	}
	return appendPacket(nil, code, data)
}

// raw returns what sends the same packets every time.
func raw(packets ...[]byte) func([]byte) []byte {
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	return func([]byte) []byte { return all }
}

func (s *script) serve(t *testing.T, conn net.Conn) {
	defer conn.Close()
	silent := map[byte]uint32{cmdConnect: noConnectReply, cmdHelo: noHeloReply, cmdMail: noMailReply, cmdRcpt: noRcptReply,
		cmdData: noDataReply, cmdHeader: noHeaderReply, cmdEOH: noEOHReply, cmdBody: noBodyReply}
	r := bufio.NewReader(conn)
	for {
		p, err := readPacket(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		if p.code == cmdBody && len(p.data) > 100 {
			s.heard = append(s.heard, fmt.Sprintf("B%d bytes", len(p.data)))
		} else {
			s.heard = append(s.heard, string(p.code)+strings.ReplaceAll(string(p.data), "\x00", "|"))
		}
		s.mu.Unlock()
		answer := appendPacket(nil, replyContinue)
		switch {
		case s.answers[p.code] != nil:
			answer = s.answers[p.code](p.data)
		case p.code == cmdNegotiate:
			head := binary.BigEndian.AppendUint32(nil, s.version)
			head = binary.BigEndian.AppendUint32(head, s.actions)
			answer = appendPacket(nil, cmdNegotiate, binary.BigEndian.AppendUint32(head, s.flags), s.symbols)
		case p.code == cmdMacros || p.code == cmdAbort || s.flags&silent[p.code] != 0:
			answer = nil
		case p.code == cmdQuit:
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// heardOf returns the commands of these codes as they came.
func (s *script) heardOf(codes string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, h := range s.heard {
		if strings.Contains(codes, h[:1]) {
			all = append(all, h)
		}
	}
	return all
}

// start serves s on loopback and returns a client of it.
func (s *script) start(t *testing.T) *Client {
	t.Helper()
	if s.version == 0 {
		s.version, s.actions = 6, allActions
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { s.serve(t, conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); sessions.Wait() })
	return newClient(t, "inet:"+ln.Addr().String())
}

func newClient(t *testing.T, address string) *Client {
	t.Helper()
	c, err := New(Config{Name: "tested", Address: address, Hostname: "mx.north.test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const plain = "From: Bob <bob@client.test>\r\nSubject: a long\r\n line\r\nX-Empty:\r\n\r\nbody\r\n"

// mailOf returns what engines look at, for one or more recipients.
func mailOf(t testing.TB, content string, to ...string) *filter.Mail {
	t.Helper()
	from, err := smtp.ParseReversePath("<bob@client.test>")
	if err != nil {
		t.Fatal(err)
	}
	env := &mail.Envelope{ID: "01JDXAMPLE000001", From: from, Received: time.Unix(1.8e9, 0), Origin: mail.Origin{
		IP: netip.MustParseAddr("192.0.2.1"), Name: "out.client.test", Helo: "helo.client.test", Protocol: "ESMTPS", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256"}}
	if len(to) == 0 {
		to = []string{"ann@north.test"}
	}
	for _, r := range to {
		a, err := smtp.ParseAddress(r)
		if err != nil {
			t.Fatal(err)
		}
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
	}
	return &filter.Mail{Envelope: env, Content: []byte(content), Message: message.Parse([]byte(content)), Hostname: "mx.north.test"}
}
