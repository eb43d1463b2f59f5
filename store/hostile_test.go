package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste/blob/memblob"
	"posthaste/kv/memkv"
)

// TestStoresWhateverHasALargeStructure delivers content whose envelope or structure is as large as
// can be, in IMAP's words or by its own size.
func TestStoresWhateverHasALargeStructure(t *testing.T) {
	s, err := New(Config{KV: memkv.New(), Blobs: memblob.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	addresses := strings.Repeat("a@b,", 1<<18)
	part := "--x\r\nContent-Type: text/plain; name=\"" + strings.Repeat("\\\"", 2000) + "\"\r\nContent-Description: " + strings.Repeat("d", 2000) + "\r\n\r\n\r\n"
	references := strings.Repeat("<a@b> ", 1<<18)
	for claim, text := range map[string]string{
		"addresses":   fmt.Sprintf("From: %[1]s\r\nTo: %[1]s\r\nCc: %[1]s\r\nBcc: %[1]s\r\nSender: %[1]s\r\nReply-To: %[1]s\r\n\r\n", addresses),
		"parts":       "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat(part, 2000) + "--x--\r\n",
		"subject":     "Subject: " + strings.Repeat("\"", 9<<20) + "\r\n\r\n",
		"references":  "References: " + references + "\r\nIn-Reply-To: " + references + "\r\n\r\n",
		"description": "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\nContent-Description: "+strings.Repeat("\"", 900<<10)+"\r\n\r\n\r\n", 6),
		"fields":      strings.Repeat("a:b\r\n", 1<<19),
		"depth":       strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100000),
		"languages":   "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\nContent-Language: "+strings.Repeat("a,", 500<<10)+"\r\n\r\n\r\n", 20),
	} {
		start := time.Now()
		m, err := s.Prepare(t.Context(), []byte(text))
		if err != nil {
			t.Errorf("%s: %v", claim, err)
			continue
		}
		got, err := s.Account(1).Deliver(t.Context(), Delivery{Message: m, Received: time.Now()})
		if err != nil {
			t.Errorf("%s: %d bytes: %v", claim, len(text), err)
			continue
		}
		content, err := s.Account(1).Content(t.Context(), got.Email)
		if err != nil || string(content) != text {
			t.Errorf("%s: read back %d bytes, %v", claim, len(content), err)
		}
		t.Logf("%s: %d bytes, facts %d bytes, %v", claim, len(text), len(m.facts), time.Since(start))
	}
}
