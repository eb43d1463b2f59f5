package message

import (
	"fmt"
	"strings"
	"testing"
)

const plainHeader = "Return-Path: <ann@north.test>\r\n" +
	"Received: from mail.north.test (mail.north.test [192.0.2.1])\r\n\tby mx.south.test with ESMTPS id 0123456789abcdef\r\n" +
	"\tfor <bob@south.test>; Thu, 5 Nov 2026 10:00:00 +0000\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; d=north.test; s=a;\r\n\th=from:to:subject:date; bh=abcdef;\r\n\tb=abcdefabcdefabcdef\r\n" +
	"From: Ann Example <ann@north.test>\r\nTo: Bob <bob@south.test>, Carl <carl@south.test>\r\n" +
	"Cc: \"Doe, Jane\" <jane@south.test>\r\nSubject: The report of this week\r\n" +
	"Date: Thu, 5 Nov 2026 10:00:00 +0000\r\nMessage-ID: <20261105100000.1@north.test>\r\n" +
	"In-Reply-To: <20261104100000.1@south.test>\r\nReferences: <a@south.test> <20261104100000.1@south.test>\r\n" +
	"User-Agent: Example 1.0\r\nMIME-Version: 1.0\r\n"

func plainMessage(size int) []byte {
	text := plainHeader + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	line := "The quick brown fox jumps over the lazy dog, again and again and again.\r\n"
	return []byte(text + strings.Repeat(line, max(1, (size-len(text))/len(line))))
}

func multipartMessage(size int) []byte {
	var b strings.Builder
	b.WriteString(plainHeader + "Content-Type: multipart/mixed; boundary=\"=-outer\"\r\n\r\n--=-outer\r\n" +
		"Content-Type: multipart/alternative; boundary=\"=-inner\"\r\n\r\n" +
		"--=-inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello Bob\r\n" +
		"--=-inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Hello Bob</p>\r\n--=-inner--\r\n")
	line := strings.Repeat("QUJD", 19) + "\r\n"
	for i := range 2 {
		fmt.Fprintf(&b, "--=-outer\r\nContent-Type: application/pdf; name=\"%d.pdf\"\r\nContent-Transfer-Encoding: base64\r\n"+
			"Content-Disposition: attachment; filename=\"%d.pdf\"\r\n\r\n", i, i)
		b.WriteString(strings.Repeat(line, size/2/len(line)))
	}
	b.WriteString("--=-outer--\r\n")
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name    string
		content []byte
	}{{"plain4KB", plainMessage(4 << 10)}, {"multipart50KB", multipartMessage(50 << 10)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.content)))
			for b.Loop() {
				Parse(c.content)
			}
		})
	}
}

func BenchmarkHeader(b *testing.B) {
	m := Parse(plainMessage(4 << 10))
	b.ReportAllocs()
	for b.Loop() {
		m.Header.Date()
		m.Header.Subject()
		m.Header.From()
		m.Header.To()
		m.Header.Cc()
		m.Header.MessageID()
		m.Header.References()
	}
}

func BenchmarkPreview(b *testing.B) {
	m := Parse(plainMessage(4 << 10))
	b.ReportAllocs()
	for b.Loop() {
		m.Preview(200)
	}
}
