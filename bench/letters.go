package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Letters makes messages that differ: bodies come from a pool, headers are each message's own.
type letters struct {
	run    string
	bodies []body
}

type body struct{ contentType, text string }

// Words that searches look for, and how often a message has them.
const (
	commonWord  = "quarterly"  // in the subject of every hundredth
	rareWord    = "needlework" // in the text of every thousandth
	commonEvery = 100
	rareEvery   = 1000
)

const (
	poolSize   = 128
	headerRoom = 700 // bytes that the header of a message takes, about
	seed       = 20
)

func newLetters(size int) *letters {
	rng := rand.New(rand.NewPCG(seed, uint64(size)))
	words := vocabulary(rng)
	l := &letters{run: fmt.Sprintf("%x", time.Now().UnixNano())}
	for i := range poolSize {
		l.bodies = append(l.bodies, newBody(rng, words, i, max(size-headerRoom, 100)))
	}
	return l
}

// vocabulary returns words of two to four syllables.
func vocabulary(rng *rand.Rand) []string {
	syllables := strings.Fields("an ber con dar el fin gro ha ing jor kel lun mor na ost per qui ran sel tor und ver wil yor zen")
	words := make([]string, 5000)
	for i := range words {
		for range 2 + rng.IntN(3) {
			words[i] += syllables[rng.IntN(len(syllables))]
		}
	}
	return words
}

// newBody returns plain text, plain text with HTML, or, in large messages, also an attachment.
func newBody(rng *rand.Rand, words []string, i, size int) body {
	if i%3 == 0 {
		return body{"text/plain; charset=utf-8", prose(rng, words, size)}
	}
	if size < 16<<10 {
		const bound = "=_alternative"
		text := part(bound, "text/plain; charset=utf-8", prose(rng, words, size/3)) +
			part(bound, "text/html; charset=utf-8", "<html><body><p>"+prose(rng, words, size/2)+"</p></body></html>\r\n")
		return body{`multipart/alternative; boundary="` + bound + `"`, text + "--" + bound + "--\r\n"}
	}
	const bound = "=_mixed"
	data := make([]byte, size*2/3)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	text := part(bound, "text/plain; charset=utf-8", prose(rng, words, size/10)) +
		part(bound, "application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64", folded(base64.StdEncoding.EncodeToString(data)))
	return body{`multipart/mixed; boundary="` + bound + `"`, text + "--" + bound + "--\r\n"}
}

func part(bound, contentType, text string) string {
	return "--" + bound + "\r\nContent-Type: " + contentType + "\r\n\r\n" + text
}

// prose returns lines of words; some are used far more often than others.
func prose(rng *rand.Rand, words []string, size int) string {
	zipf := rand.NewZipf(rng, 1.2, 8, uint64(len(words)-1))
	var b strings.Builder
	for line := 0; b.Len() < size; {
		word := words[zipf.Uint64()]
		b.WriteString(word)
		if line += len(word) + 1; line > 68 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

func folded(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	b.WriteString(s + "\r\n")
	return b.String()
}

func sender(i int) string { return fmt.Sprintf("writer%d@host%d.example", i%50, i%12) }

// letter returns message i.
func (l *letters) letter(i int, from, to string) []byte {
	body := l.bodies[i%len(l.bodies)]
	subject := fmt.Sprintf("Letter %d about the plan", i)
	if i%commonEvery == 0 {
		subject += " " + commonWord
	}
	b := make([]byte, 0, len(body.text)+headerRoom)
	b = fmt.Appendf(b, "Received: from relay.example (relay.example [192.0.2.7]) by host%d.example with ESMTPS id %X;\r\n\tTue, 4 Mar 2025 10:00:%02d +0000\r\n", i%12, i, i%60)
	b = fmt.Appendf(b, "Message-ID: <%s.%d@host%d.example>\r\nDate: Tue, 4 Mar 2025 %02d:%02d:%02d +0000\r\n", l.run, i, i%12, i%24, i%60, i%59)
	b = fmt.Appendf(b, "From: \"Writer %d\" <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", i%50, from, to, subject)
	b = fmt.Appendf(b, "X-Bench-ID: %s.%d\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n", l.run, i, body.contentType)
	text := body.text
	if i%rareEvery == 0 && strings.HasPrefix(body.contentType, "text/") {
		b = append(b, rareWord+"\r\n"...)
	}
	return append(b, text...)
}

// writeMaildir writes messages with LF line ends, as files on Unix have them.
func writeMaildir(args []string) error {
	f := newFlags("maildir")
	dir := f.String("dir", "", "directory to make")
	n := f.Int("n", 20000, "messages")
	size := f.Int("size", 4096, "bytes of each")
	f.Parse(args)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(*dir, sub), 0o777); err != nil {
			return err
		}
	}
	l := newLetters(*size)
	for i := range *n {
		text := bytes.ReplaceAll(l.letter(i, sender(i), userName(0, 1)), []byte("\r\n"), []byte("\n"))
		name := fmt.Sprintf("%d.P%d.bench:2,", 1741000000+i, i)
		if err := os.WriteFile(filepath.Join(*dir, "cur", name), text, 0o666); err != nil {
			return err
		}
	}
	return nil
}
