package milter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A script is a milter of the tests that speaks the bare protocol, so that it can do what libraries
// refuse to: it answers each command by its code, and continues where it says nothing.
type script struct {
	version, actions, flags uint32
	symbols                 []byte
	unix                    bool                              // listen on a socket file
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

func (s *script) serve(conn net.Conn) {
	defer conn.Close()
	silent := map[byte]uint32{cmdConnect: noConnectReply, cmdHelo: noHeloReply, cmdMail: noMailReply, cmdRcpt: noRcptReply,
		cmdData: noDataReply, cmdHeader: noHeaderReply, cmdEOH: noEOHReply, cmdBody: noBodyReply}
	r := bufio.NewReaderSize(conn, 2*maxChunk)
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
func (s *script) start(t testing.TB) *Client {
	t.Helper()
	if s.version == 0 {
		s.version, s.actions = 6, allActions
	}
	network, address, notation := "tcp", "127.0.0.1:0", "inet:"
	if s.unix {
		network, address, notation = "unix", filepath.Join(t.TempDir(), "milter.sock"), "unix:"
	}
	ln, err := net.Listen(network, address)
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
			sessions.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); sessions.Wait() })
	return newClient(t, notation+ln.Addr().String())
}

func newClient(t testing.TB, address string) *Client {
	t.Helper()
	c, err := New(Config{Name: "tested", Address: address, Hostname: "mx.north.test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const plain = "From: Bob <bob@client.test>\r\nSubject: a long\r\n line\r\nX-Empty:\r\n\r\nbody\r\n"
