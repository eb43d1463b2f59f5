package spamd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

const report = `Content preview:  hello 9.9 NOT_A_RULE

Content analysis details:   (7.3 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
 2.7 MISSING_DATE           Missing Date: header
-0.0 NO_RELAYS              Informational: message was not relayed via
                            SMTP
 1.5 URI_HEX                URI: URI hostname has long hexadecimal
                            sequence
 3.0 X_1                    \x1b bad` + "\xFF" + `
 1.0 lower_case             no rule

`

// answering serves spamd's side of one answer for each connection.
func answering(t *testing.T, cfg Config, answer string) (*Client, func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var requests []string // guarded by mu
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			var head strings.Builder
			size := 0
			for {
				l, err := r.ReadString('\n')
				head.WriteString(l)
				fmt.Sscanf(l, "Content-length: %d", &size)
				if err != nil || l == "\r\n" {
					break
				}
			}
			body := make([]byte, size)
			io.ReadFull(r, body)
			mu.Lock()
			requests = append(requests, head.String()+string(body))
			mu.Unlock()
			io.WriteString(conn, answer)
			conn.Close()
		}
	})
	t.Cleanup(func() { ln.Close(); done.Wait() })
	cfg.Address = "inet:" + ln.Addr().String()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(requests) }
}

func answerOf(verdict, body string) string {
	return fmt.Sprintf("SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s\r\n\r\n%s", len(body), verdict, body)
}

func TestEveryRuleIsAFinding(t *testing.T) {
	c, requests := answering(t, Config{User: "ann", Scale: 2}, answerOf("True ; 7.3 / 5.0", report))
	m := filtertest.Mail(t, filtertest.Message("hello"))
	r, err := c.Scan(t.Context(), m)
	if err != nil || r.Action != mail.Accept {
		t.Fatalf("got %+v, %v", r, err)
	}
	var got []string
	sum := 0.0
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %.1f %s", f.Rule, f.Weight, f.Meaning))
		sum += f.Weight
	}
	want := []string{"SPAMD 0.2 What SpamAssassin says of the message as a whole.", "SA_MISSING_DATE 5.4 Missing Date: header",
		"SA_NO_RELAYS -0.0 Informational: message was not relayed via SMTP", "SA_URI_HEX 3.0 URI: URI hostname has long hexadecimal sequence", `SA_X_1 6.0 \x1b bad?`}
	if !slices.Equal(got, want) || math.Abs(sum-14.6) > 0.001 {
		t.Errorf("sum %v, got %q", sum, got)
	}
	if q := requests()[0]; !strings.HasPrefix(q, "REPORT SPAMC/1.5\r\n") || !strings.Contains(q, "\r\nUser: ann\r\n") ||
		!strings.Contains(q, "\r\n\r\nReturn-Path: <bob@client.test>\r\nReceived: from helo.client.test (out.client.test [192.0.2.1])") || !strings.HasSuffix(q, string(m.Content)) {
		t.Errorf("asked %q", q)
	}
}

func TestFollowMakesSpamJunkAndNothingElse(t *testing.T) {
	for verdict, want := range map[string]mail.Action{"True ; 7.3 / 5.0": mail.Junk, "Yes ; 7.3 / 5.0": mail.Junk, "False ; 4.9 / 5.0": mail.Accept} {
		c, _ := answering(t, Config{Follow: true}, answerOf(verdict, report))
		r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
		if err != nil || r.Action != want || (r.Reason != "") != (want == mail.Junk) || slices.ContainsFunc(r.Findings, func(f mail.Finding) bool { return f.Weight != 0 }) {
			t.Errorf("%s: got %+v, %v", verdict, r, err)
		}
	}
}

func TestAReportInAnotherLayoutStillHasItsScore(t *testing.T) {
	c, _ := answering(t, Config{}, answerOf("True ; 7.3 / 5.0", "all is lost"))
	r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x")))
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Weight != 7.3 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestALargeMessageIsNotSent(t *testing.T) {
	c, requests := answering(t, Config{MaxSize: 100}, "")
	r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message(strings.Repeat("x", 200))))
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Rule != "SPAMD_SKIPPED" || r.Findings[0].Weight != 0 || len(requests()) != 0 {
		t.Errorf("got %+v, %v, asked %q", r, err, requests())
	}
	if err := c.Learn(t.Context(), make([]byte, 101), true); err == nil {
		t.Error("a large message was taught")
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"nothing", ""}, {"another protocol", "HTTP/1.1 200 OK\r\n\r\n"}, {"a failure", "SPAMD/1.0 76 Bad header line\r\n"},
		{"no verdict", "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n"},
		{"a verdict that is none", answerOf("maybe", "")}, {"not a number", answerOf("True ; NaN / 5.0", "")}, {"infinite", answerOf("True ; Inf / 5.0", "")},
		{"a negative length", "SPAMD/1.1 0 EX_OK\r\nContent-length: -1\r\nSpam: True ; 1 / 5\r\n\r\n"},
		{"cut short", strings.TrimSuffix(answerOf("True ; 7.3 / 5.0", report), "\n")},
		{"a line without end", "SPAMD/1.1 0 EX_OK" + strings.Repeat("x", 5000)},
		{"headers without end", "SPAMD/1.1 0 EX_OK\r\n" + strings.Repeat("X: y\r\n", maxHeaders+1)},
		{"a body over the bound", fmt.Sprintf("SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: True ; 1 / 5\r\n\r\n", maxAnswer+1)},
	} {
		client, _ := answering(t, Config{}, c.answer)
		if r, err := client.Scan(t.Context(), filtertest.Mail(t, filtertest.Message("x"))); err == nil {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:783", "inet:783", "unix:x", "inet:x:"} {
		if _, err := New(Config{Address: bad}); err == nil {
			t.Errorf("New(%q) says nothing", bad)
		}
	}
	if _, err := New(Config{Address: "inet:127.0.0.1:783", User: "a\r\nb"}); err == nil {
		t.Error("a user with a line break")
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := New(Config{Address: "inet:" + ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Scan(ctx, filtertest.Mail(t, filtertest.Message("x"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(answerOf("True ; 7.3 / 5.0", report)))
	f.Add([]byte("SPAMD/1.1 0 EX_OK\r\n\r\n"))
	c, err := New(Config{Address: "inet:127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parse(bufio.NewReader(strings.NewReader(string(b))))
		if err != nil {
			return
		}
		var r filter.Result
		if r, err = c.result(a); err == nil && len(r.Findings) > maxRules+1 {
			t.Errorf("%d findings", len(r.Findings))
		}
	})
}
