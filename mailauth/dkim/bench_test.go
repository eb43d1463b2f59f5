package dkim

import (
	"fmt"
	"strings"
	"testing"

	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// letter4K is an ordinary message of 4 KB.
var letter4K = letter + strings.Repeat("A line of an ordinary letter, with some words in it and an end.\r\n", 60)

func BenchmarkVerify(b *testing.B) {
	s, records := signer(b)
	for name, keys := range map[string][]SigningKey{"rsa2048": s.Keys[:1], "ed25519": s.Keys[1:], "both": s.Keys} {
		b.Run(name, func(b *testing.B) {
			benchVerify(b, records, sign(b, &Signer{Domain: s.Domain, Keys: keys}, letter4K), 1)
		})
	}
}

// BenchmarkVerify50 is the cost of a message with 50 signatures, each over another length of its body.
func BenchmarkVerify50(b *testing.B) {
	_, records := signer(b)
	content := []byte(letter4K)
	for i := range 50 {
		content = craft(b, testKeys()[0], fmt.Sprintf("v=1; a=rsa-sha256; d=north.test; s=r; h=From:To; bh=$BH; c=relaxed/relaxed; l=%d", i*50), content)
	}
	benchVerify(b, records, content, MaxReported)
}

// BenchmarkVerify10MB is a message of 10 MB whose 50 signatures use both canonical forms.
func BenchmarkVerify10MB(b *testing.B) {
	_, records := signer(b)
	content := []byte(letter + strings.Repeat("A line of an ordinary letter, with some words in it and an end.\r\n", 10<<20/66))
	for i := range 50 {
		form := [...]string{"simple/simple", "relaxed/relaxed"}[i%2]
		content = craft(b, testKeys()[0], fmt.Sprintf("v=1; a=rsa-sha256; d=north.test; s=r; h=From:To; bh=$BH; c=%s; l=%d", form, i*50000), content)
	}
	benchVerify(b, records, content, MaxReported)
}

func benchVerify(b *testing.B, records map[string]string, content []byte, want int) {
	_, r := world(b, records)
	v := NewVerifier(r)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		got := v.Verify(b.Context(), message.ParseHeader(content), content, now)
		if len(got) < want || got[0].Result != Pass {
			b.Fatalf("%+v", got)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s, _ := signer(b)
	for name, keys := range map[string][]SigningKey{"rsa2048": s.Keys[:1], "ed25519": s.Keys[1:], "both": s.Keys} {
		b.Run(name, func(b *testing.B) {
			signer := Signer{Domain: s.Domain, Keys: keys}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Sign([]byte(letter4K), now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerifyWideHeader is the worst header: as many fields as are read at all, and 50 signatures that
// each name as many as they may, all at the top, so that all of it is searched for each.
func BenchmarkVerifyWideHeader(b *testing.B) {
	_, records := signer(b)
	var fields, names strings.Builder
	names.WriteString("From")
	for i := range sig.MaxNames - 1 {
		fmt.Fprintf(&fields, "a%d:\r\n", i)
		fmt.Fprintf(&names, ":a%d", i)
	}
	for range message.MaxFields - 1000 {
		fields.WriteString("b:\r\n")
	}
	content := []byte(fields.String() + letter)
	tags := "v=1; a=ed25519-sha256; d=north.test; s=e; bh=$BH; h=" + names.String()
	for range 50 {
		content = craft(b, testKeys()[1], tags, content)
	}
	benchVerify(b, records, content, MaxReported)
}
