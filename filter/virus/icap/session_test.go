package icap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/filter/virus"
	"posthaste/mail"
)

// A server answers OPTIONS with options and the rest with reply, over pipes.
type server struct {
	options string
	reply   func(c net.Conn, request textproto.MIMEHeader, body *bufio.Reader)
	asked   []string // methods, in order
}

func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		r := bufio.NewReader(theirs)
		line, _ := textproto.NewReader(r).ReadLine()
		head, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		method, _, _ := strings.Cut(line, " ")
		s.asked = append(s.asked, method)
		if method == "OPTIONS" {
			io.WriteString(theirs, s.options)
			return
		}
		s.reply(theirs, head, r)
	}()
	return ours, nil
}

const plainOptions = "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nOptions-TTL: 60\r\nEncapsulated: null-body=0\r\n\r\n"

// with returns an Engine that asks s.
func (s *server) engine(t *testing.T, p virus.Policy) *Engine {
	t.Helper()
	if s.options == "" {
		s.options = plainOptions
	}
	return engine(t, "icap://av.example/scan", Config{Policy: p, Dial: s.dial})
}

// always answers text once all of the content has come.
func always(text string) func(net.Conn, textproto.MIMEHeader, *bufio.Reader) {
	return func(c net.Conn, h textproto.MIMEHeader, r *bufio.Reader) {
		_, length, _, _ := encapsulated(h.Get("Encapsulated"))
		io.CopyN(io.Discard, r, int64(length))
		io.Copy(io.Discard, httputil.NewChunkedReader(r))
		io.WriteString(c, text)
	}
}

func TestAnswersOfServers(t *testing.T) {
	m := letter("x")
	inner := "HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\n\r\n"
	same := fmt.Sprintf("Encapsulated: res-hdr=0, res-body=%d\r\n\r\n%s%x\r\n%s\r\n0\r\n\r\n", len(inner), inner, len(m.Content), m.Content)
	forbidden := "HTTP/1.1 403 Forbidden\r\n\r\n"
	for _, c := range []struct{ name, reply, want string }{
		{"204 is clean", "ICAP/1.0 204 No Content\r\n\r\n", ""},
		{"the same content is clean", "ICAP/1.0 200 OK\r\n" + same, ""},
		{"a threat is named", "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Bad.Thing;\r\n" + same, "Bad.Thing"},
		{"a name in other words", "ICAP/1.0 200 OK\r\nX-Virus-ID: Bad.Thing\r\n" + same, "Bad.Thing"},
		{"a threat beside 204", "ICAP/1.0 204 No Content\r\nX-Virus-ID: Bad.Thing\r\n\r\n", "Bad.Thing"},
		{"violations", "ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n a.exe\r\n Bad.Thing\r\n 7\r\n 2\r\n" + same, "Bad.Thing"},
		{"no violations", "ICAP/1.0 200 OK\r\nX-Violations-Found: 0\r\n" + same, ""},
		{"other content", "ICAP/1.0 200 OK\r\n" + strings.Replace(same, "hello", "HELLO", 1), "changes the content"},
		{"an answer in the place of the message", fmt.Sprintf("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=%d\r\n\r\n%s", len(forbidden), forbidden), "blocks the message"},
		{"content is gone", fmt.Sprintf("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=%d\r\n\r\n%s", len(inner), inner), "takes the content away"},
		{"an unknown service", "ICAP/1.0 404 Service not found\r\n\r\n", "error"},
		{"an overload", "ICAP/1.0 503 Service overloaded\r\n\r\n", "error"},
		{"100 where nothing is left to send", "ICAP/1.0 100 Continue\r\n\r\n", "error"},
		{"200 without content", "ICAP/1.0 200 OK\r\n\r\n", "error"},
		{"a length beyond all bounds", "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=99999999\r\n\r\n", "error"},
		{"a header without an end", "ICAP/1.0 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 100_000), "error"},
		{"content that ends early", "ICAP/1.0 200 OK\r\n" + same[:len(same)-20], "error"},
		{"another protocol", "HTTP/1.1 200 OK\r\n\r\n", "error"},
		{"nothing", "", "error"},
	} {
		s := &server{reply: always(c.reply)}
		r, err := s.engine(t, virus.Policy{Found: mail.Reject}).Scan(t.Context(), m)
		switch {
		case c.want == "error":
			if err == nil {
				t.Errorf("%s: got %+v, want an error", c.name, r)
			}
		case err != nil || (r.Action == mail.Reject) != (c.want != "") || !strings.Contains(r.Reason, c.want):
			t.Errorf("%s: got %+v, %v; want %q", c.name, r, err, c.want)
		}
	}
}

func TestPreview(t *testing.T) {
	const preview = 10
	for _, size := range []int{0, 1000} {
		m := letter(strings.Repeat("x", size))
		var got []byte
		s := &server{options: strings.Replace(plainOptions, "\r\n\r\n", "\r\nPreview: 10\r\n\r\n", 1)}
		s.reply = func(c net.Conn, h textproto.MIMEHeader, r *bufio.Reader) {
			if h.Get("Preview") != "10" || h.Get("Allow") != "204" {
				t.Errorf("got %v", h)
			}
			_, length, _, _ := encapsulated(h.Get("Encapsulated"))
			io.CopyN(io.Discard, r, int64(length))
			begin, err := io.ReadAll(httputil.NewChunkedReader(r))
			if err != nil || len(begin) != preview {
				t.Errorf("a preview of %d bytes, %v", len(begin), err)
			}
			r.ReadString('\n')
			io.WriteString(c, "ICAP/1.0 100 Continue\r\n\r\n")
			rest, err := io.ReadAll(httputil.NewChunkedReader(r))
			if err != nil {
				t.Error(err)
			}
			got = append(begin, rest...)
			io.WriteString(c, "ICAP/1.0 204 No Content\r\n\r\n")
		}
		if r, err := s.engine(t, virus.Policy{}).Scan(t.Context(), m); err != nil || !bytes.Equal(got, m.Content) {
			t.Errorf("%+v, %v: %q arrived", r, err, got)
		}
	}
}

func TestAPreviewOfAllSaysSo(t *testing.T) {
	s := &server{options: strings.Replace(plainOptions, "\r\n\r\n", "\r\nPreview: 4096\r\n\r\n", 1)}
	s.reply = func(c net.Conn, _ textproto.MIMEHeader, r *bufio.Reader) {
		for line, err := "", error(nil); line != "0; ieof\r\n" && err == nil; {
			if line, err = r.ReadString('\n'); err != nil {
				t.Error("no ieof")
			}
		}
		r.ReadString('\n')
		io.WriteString(c, "ICAP/1.0 204 No Content\r\n\r\n")
	}
	if _, err := s.engine(t, virus.Policy{}).Scan(t.Context(), letter("x")); err != nil {
		t.Error(err)
	}
}

func TestAnAnswerBeforeTheEndCounts(t *testing.T) {
	s := &server{reply: func(c net.Conn, _ textproto.MIMEHeader, r *bufio.Reader) {
		io.WriteString(c, "ICAP/1.0 200 OK\r\nX-Virus-ID: Bad.Thing\r\n\r\n")
	}}
	r, err := s.engine(t, virus.Policy{Found: mail.Quarantine}).Scan(t.Context(), letter(strings.Repeat("x", 1<<20)))
	if err != nil || r.Action != mail.Quarantine || r.Reply != nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestOptionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{reply: always("ICAP/1.0 204 No Content\r\n\r\n")}
		e := s.engine(t, virus.Policy{})
		for _, wait := range []time.Duration{0, 59 * time.Second, time.Second, 0} {
			time.Sleep(wait)
			if _, err := e.Scan(t.Context(), letter("x")); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(s.asked, " "); got != "OPTIONS RESPMOD RESPMOD OPTIONS RESPMOD RESPMOD" {
			t.Errorf("asked %s", got)
		}
	})
}

func TestAServiceThatCannotIsAnError(t *testing.T) {
	for name, options := range map[string]string{
		"other methods": "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n",
		"no service":    "ICAP/1.0 404 Not Found\r\n\r\n",
		"no ICAP":       "SSH-2.0-OpenSSH\r\n\r\n",
	} {
		s := &server{options: options}
		if r, err := s.engine(t, virus.Policy{}).Scan(t.Context(), letter("x")); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestASilentServerCostsNoMoreThanTheContext(t *testing.T) {
	for name, reply := range map[string]func(net.Conn, textproto.MIMEHeader, *bufio.Reader){
		"it reads nothing": func(net.Conn, textproto.MIMEHeader, *bufio.Reader) { time.Sleep(time.Hour) }, // virtual
		"it drips": func(c net.Conn, _ textproto.MIMEHeader, r *bufio.Reader) {
			go io.Copy(io.Discard, r)
			for _, err := c.Write([]byte("I")); err == nil; _, err = c.Write([]byte("I")) {
				time.Sleep(time.Second)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{reply: reply}
			e := s.engine(t, virus.Policy{})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			_, err := e.Scan(ctx, letter(strings.Repeat("x", 1<<20)))
			if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != 5*time.Second {
				t.Errorf("%s: %v after %v", name, err, d)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"icap://av.example/scan": true, "icap://127.0.0.1:1344/avscan?mode=simple": true, "icap://[::1]:1344/x": true,
		"http://av.example/": false, "icap:///scan": false, "icap://u:p@av.example/": false, "": false, "icap://av.example/\r\nX: y": false,
	} {
		if _, err := New(Config{URL: url}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := New(Config{URL: "icap://av.example/", Method: "OPTIONS"}); err == nil {
		t.Error("OPTIONS is no method to scan with")
	}
}

func FuzzAnswer(f *testing.F) {
	m := letter("x")
	for _, s := range []string{"ICAP/1.0 204 No\r\n\r\n", "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Threat=A;\r\n\r\n",
		"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n1\r\nx\r\n0\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newReader(bytes.NewReader(in))
		head, err := r.response()
		if err != nil {
			return
		}
		parseOptions(head.header)
		a, err := r.answer(head, m.Content)
		if err == nil && len(a.names) == 0 && head.code != 204 && len(in) < len(m.Content) {
			t.Errorf("%q counts as clean", in)
		}
		if len(a.names) > maxNames {
			t.Errorf("%d names", len(a.names))
		}
	})
}
