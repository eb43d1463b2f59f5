package classifier

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
	"posthaste/message"
)

// texts returns the features of a message for people.
func texts(c *Classifier, content string) []string {
	t := c.Tokenize(message.Parse([]byte(strings.ReplaceAll(content, "\n", "\r\n"))))
	var all []string
	for _, f := range t.features {
		all = append(all, t.text(f))
	}
	return all
}

func TestTokenize(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	for _, row := range []struct {
		claim, content string
		has, hasNot    []string
	}{
		{"words are lower case and paired", "\nBuy CHEAP pills now", []string{`text "cheap"`, `text "cheap pills"`}, []string{`text "CHEAP"`, `text "buy pills"`}},
		{"the subject is decoded and apart", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nx", []string{`subject "grüße"`}, []string{`text "grüße"`}},
		{"numbers are alike", "\nonly 1999.95", []string{`text "0000.00"`}, nil},
		{"long words are folded", "\n" + strings.Repeat("x", 50), []string{`text "long:x5"`}, nil},
		{"base64 is decoded", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("hello viagra")), []string{`text "viagra"`}, nil},
		{"tags do not part words", "Content-Type: text/html\n\n<p>via<b></b>gra</p>", []string{`text "viagra"`}, nil},
		{"hidden text is apart", "Content-Type: text/html\n\n<p>seen</p><div style=\"display: none\">secret</div>end", []string{`text "seen"`, `hidden text "secret"`, `text "end"`}, []string{`text "secret"`}},
		{"scripts and styles say nothing", "Content-Type: text/html\n\n<style>evil</style><script>bad</script>ok", []string{`text "ok"`}, []string{`text "evil"`, `text "bad"`}},
		{"links are split by host", "\nsee http://a.shop.example.com/x", []string{`link host "a.shop.example.com"`, `link host "example.com"`, `link top-level domain "com"`}, nil},
		{"a number as a host is odd", "\nsee http://192.0.2.7/x", []string{`link odd: "number"`}, nil},
		{"recipients have no names", "To: zzzz@example.org\n\nDear zzzz", []string{`text "(recipient)"`}, []string{`text "zzzz"`}},
		{"what receivers add is left out", "Received: from localhost (localhost [127.0.0.1]) by ours\nX-Spam-Flag: YES\nReturn-Path: <x@y>\nDate: Mon, 1 Jan 2001 00:00:00 +0000\nX-Mailer: Foo\n\nx",
			[]string{`header field "x-mailer"`}, []string{`header field "x-spam-flag"`, `header field "return-path"`, `header field "date"`, `header field "received"`, `client name "none"`}},
		{"runes of scripts without spaces are words", "Content-Type: text/plain; charset=utf-8\n\n免費", []string{`text "免"`, `text "免 費"`}, nil},
	} {
		got := texts(c, row.content)
		for _, want := range row.has {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no %s in %q", row.claim, want, got)
			}
		}
		for _, not := range row.hasNot {
			if slices.Contains(got, not) {
				t.Errorf("%s: %s is there", row.claim, not)
			}
		}
	}
}

// hostile are messages made to take time.
func hostile() map[string]string {
	html := "Content-Type: text/html\n\n"
	words := new(strings.Builder)
	for i := range 100_000 {
		fmt.Fprintf(words, "word%x ", i*7919)
	}
	return map[string]string{
		"100,000 words":        "\n" + words.String(),
		"1 MB of base64":       "Content-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("spam ", 200_000))),
		"100,000 tags":         html + strings.Repeat("<b>", 100_000),
		"open tags":            html + strings.Repeat("<", 1_000_000),
		"open comments":        html + strings.Repeat("<!--", 300_000),
		"attributes":           html + "<a " + strings.Repeat("b=c ", 300_000) + ">",
		"entities":             html + strings.Repeat("&amp;", 200_000),
		"marks":                "\n" + strings.Repeat("!", 1_000_000),
		"at signs":             "\n" + strings.Repeat("a@", 500_000),
		"10,000 header fields": strings.Repeat("X-Y: z\n", 10_000) + "\nx",
		"long fields":          "Subject: " + strings.Repeat("=?utf-8?q?x?= ", 100_000) + "\nTo: " + strings.Repeat("a@b.example, ", 50_000) + "\n\nx",
		"10,000 parts":         "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\ny\n", 10_000),
	}
}

func TestHostileMessagesAreBounded(t *testing.T) {
	c := New(Config{KV: memkv.New()})
	for name, content := range hostile() {
		m := message.Parse([]byte(content))
		start := time.Now()
		tokens := c.Tokenize(m)
		took := time.Since(start)
		if tokens.Len() > maxFeatures || len(tokens.words) > maxWords {
			t.Errorf("%s: %d features, %d words", name, tokens.Len(), len(tokens.words))
		}
		t.Logf("%s: %d features in %v", name, tokens.Len(), took)
		if took > 2*time.Second { // most take some milliseconds
			t.Errorf("%s took %v", name, took)
		}
	}
}

func FuzzTokenize(f *testing.F) {
	for _, content := range hostile() {
		f.Add([]byte(content[:min(len(content), 2_000)]))
	}
	c := New(Config{KV: memkv.New()})
	f.Fuzz(func(t *testing.T, content []byte) {
		m := message.Parse(content)
		a, b := c.Tokenize(m), c.Tokenize(m)
		if !slices.Equal(a.features, b.features) {
			t.Error("the same message gives other features")
		}
		if a.Len() > maxFeatures || len(a.words) > maxWords {
			t.Errorf("%d features, %d words", a.Len(), len(a.words))
		}
		for _, feature := range a.features {
			a.text(feature)
		}
	})
}

func FuzzStored(f *testing.F) {
	b := newBatch()
	b.add(5, change{1, 2, 3})
	f.Add(b.encode())
	f.Add(head{base: 3, batches: 2, bytes: 100}.append(nil, globalBits))
	f.Add(memory{class: Spam, taught: [views]taught{{true, -3}, {false, 0}}, day: 5}.append(nil))
	f.Add(page{lesson: lesson{class: Ham, places: []uint32{1, 2}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeBatch(b, 1<<accountBits, func(at uint32, _ change) {
			if at >= 1<<accountBits {
				t.Errorf("slot %d", at)
			}
		})
		if l, err := parseMemory(b); err == nil && string(l.append(nil)) != string(b) {
			t.Errorf("memory %v of %x", l, b)
		}
		parseHead(b, globalBits)
		if p, err := parsePage([]byte("r/\x01\x00\x00"), b, 1<<globalBits); err == nil && string(p.encode()) != string(b) {
			t.Errorf("page %v of %x", p, b)
		}
	})
}

func BenchmarkTokenizeAndScore4KB(b *testing.B) {
	c := New(Config{KV: memkv.New()})
	for n := range 400 {
		m := sample(Ham+Class(n%2), n)
		if _, err := c.Learn(b.Context(), 0, c.Tokenize(m), Key(m), Ham+Class(n%2)); err != nil {
			b.Fatal(err)
		}
	}
	var text strings.Builder
	for i := 0; text.Len() < 3_600; i++ {
		fmt.Fprintf(&text, "word%s and text%s ", string(rune('a'+i%26)), strings.Repeat("x", i%9))
	}
	m := message.Parse([]byte("Received: from mx.example.org (mail.example.org [198.51.100.7])\r\n\tby mx.example.net with ESMTPS id 1; Thu, 5 Nov 2026 10:00:00 +0000\r\n" +
		"Received: from pc (pc.example.org [203.0.113.4])\r\n\tby mx.example.org (Foomail) with ESMTPSA id 2; Thu, 5 Nov 2026 10:00:00 +0000\r\n" +
		"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: hello there\r\nMessage-ID: <1@example.org>\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\nX-Mailer: Foo 1.0\r\n\r\n" + text.String()))
	b.ReportAllocs()
	b.Run("tokenize", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Tokenize(m)
		}
	})
	tokens := c.Tokenize(m)
	b.Run("score", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Score(b.Context(), 0, tokens)
		}
	})
}
