package dkim

import (
	"strings"
	"testing"

	"posthaste/message"
)

// FuzzVerify gives any content to a Verifier: it must return, with no more than it may, and what passes
// must still pass below fields of others.
func FuzzVerify(f *testing.F) {
	s, records := signer(f)
	for _, content := range peerMessages {
		f.Add(sign(f, s, content))
	}
	f.Add(craft(f, testKeys()[1], usual+"; c=simple/relaxed; l=12; t=1; x=1900000000; i=a=3Bb@x.north.test", []byte(letter)))
	f.Add([]byte("DKIM-Signature: v=1\n\n"))
	v := NewVerifier(resolverFor(f, records))
	f.Fuzz(func(t *testing.T, content []byte) {
		got := v.Verify(t.Context(), message.ParseHeader(content), content, now)
		if len(got) > MaxReported {
			t.Errorf("%d results", len(got))
		}
		passes := 0
		for _, r := range got {
			if text := r.Resinfo(); strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("a result that is no line: %q", text)
			}
			if r.Result == Pass {
				passes++
			}
		}
		below := append([]byte("Received: by x\r\n"), content...)
		for _, r := range v.Verify(t.Context(), message.ParseHeader(below), below, now) {
			if r.Result == Pass {
				passes--
			}
		}
		if passes > 0 && content[0] != ' ' && content[0] != '\t' && !strings.Contains(strings.ToLower(string(content)), "received") {
			t.Errorf("%d signatures pass only without a field on top: %q", passes, content)
		}
	})
}

// FuzzSign: whatever we sign verifies, as long as its header is one.
func FuzzSign(f *testing.F) {
	for _, content := range peerMessages {
		f.Add([]byte(content))
	}
	s, records := signer(f)
	s = &Signer{Domain: s.Domain, Keys: s.Keys[1:]}
	v := NewVerifier(resolverFor(f, records))
	f.Fuzz(func(t *testing.T, content []byte) {
		h := message.ParseHeader(content)
		if len(h.Fields()) == 0 || strings.Contains(string(content), "\r") && strings.Count(string(content), "\r") != strings.Count(string(content), "\r\n") {
			return // a CR alone is signed as what it becomes
		}
		fields, err := s.Sign(content, now)
		if err != nil {
			t.Fatal(err)
		}
		whole := append(fields, content...)
		got := v.Verify(t.Context(), message.ParseHeader(whole), whole, now)
		if len(got) == 0 || got[0].Result != Pass {
			t.Errorf("%+v\n%q", got, whole)
		}
	})
}
