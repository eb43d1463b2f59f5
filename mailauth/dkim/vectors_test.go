package dkim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste/message"
)

// vector reads a message of testdata: lines "name record", an empty line, the message.
func vector(t *testing.T, path string) (records map[string]string, content []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n\n")
	records = map[string]string{}
	for line := range strings.Lines(head) {
		name, record, _ := strings.Cut(strings.TrimSpace(line), " ")
		records[name] = record
	}
	return records, crlf(text)
}

// TestVectors verifies real mail and the examples of RFC 6376 and RFC 8463.
func TestVectors(t *testing.T) {
	paths, err := filepath.Glob("testdata/mail-auth/0*.txt")
	if err != nil || len(paths) != 6 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			records, content := vector(t, path)
			_, r := world(t, records)
			got := NewVerifier(r).Verify(t.Context(), message.ParseHeader(content), content, time.Unix(1667843664, 0))
			if len(got) == 0 {
				t.Error("no signature found")
			}
			for _, v := range got {
				t.Log(v.Resinfo())
				if v.Result != Pass {
					t.Errorf("%s: %s", v.Domain, v.Reason)
				}
			}
		})
	}
}
