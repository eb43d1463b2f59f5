package dlp

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/message"
)

func address(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

// outgoing returns a message of ann's to recipients.
func outgoing(content string, to ...string) *filter.Mail {
	content = strings.ReplaceAll(content, "\n", "\r\n")
	env := &mail.Envelope{From: mail.ReversePath{Address: address("ann@north.test")}}
	if len(to) == 0 {
		to = []string{"eve@else.test"}
	}
	for _, a := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: address(a)})
	}
	return &filter.Mail{Envelope: env, Content: []byte(content), Message: message.Parse([]byte(content)), Outgoing: true}
}

func newEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func scan(t *testing.T, e *Engine, m *filter.Mail) filter.Result {
	t.Helper()
	r, err := e.Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCards(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"4111111111111111", []string{"4111111111111111"}},
		{"my card 4111 1111 1111 1111, thanks", []string{"4111111111111111"}},
		{"4111-1111-1111-1111", []string{"4111111111111111"}},
		{"4111 1111 1111 1111 12/27", []string{"4111111111111111"}},
		{"4111 1111 1111 1111 123", []string{"4111111111111111"}},
		{"12 4111 1111 1111 1111", []string{"4111111111111111"}},
		{"378282246310005 and 3782 822463 10005", []string{"378282246310005", "378282246310005"}},
		{"5555555555554444;2223003122003222;6011111111111117", []string{"5555555555554444", "2223003122003222", "6011111111111117"}},
		{"30569309025904 3530111333300000", []string{"30569309025904", "3530111333300000"}},
		{"4111111111111112 has a wrong check digit", nil},
		{"4111 1111-1111 1111 is grouped in two ways", nil},
		{"4111  1111  1111  1111 has two blanks", nil},
		{"x4111111111111111 and 4111111111111111x touch a letter", nil},
		{"é4111111111111111", nil},
		{"1234567812345670 has no issuer", nil},
		{"0000000000000000", nil},
		{"41111111111111111111111111111", nil},
		{"411111111111111 is too short for its issuer", nil},
		{"", nil},
	} {
		var got []string
		eachCard(c.text, func(n string) bool { got = append(got, n); return true })
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
}

func TestIBANs(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"DE89370400440532013000", []string{"DE89370400440532013000"}},
		{"IBAN: DE89 3704 0044 0532 0130 00.", []string{"DE89370400440532013000"}},
		{"gb29 nwbk 6016 1331 9268 19", []string{"GB29NWBK60161331926819"}},
		{"NO93 8601 1117 947 MT84 MALT 0110 0001 2345 MTLC AST0 01S", []string{"NO9386011117947", "MT84MALT011000012345MTLCAST001S"}},
		{"DE88370400440532013000 has wrong check digits", nil},
		{"DE893704004405320130001 is too long", nil},
		{"DE8937040044053201300 is too short", nil},
		{"ZZ89370400440532013000 is of no country", nil},
		{"xDE89370400440532013000", nil},
		{"E289", nil},
		{"DE89  3704 0044 0532 0130 00", nil},
	} {
		var got []string
		eachIBAN(c.text, func(n string) bool { got = append(got, n); return true })
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
}

// Of random numbers that look like cards, no more than a tenth pass: that is what a check digit is for.
func TestRandomNumbersAreSeldomCards(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 10_000 {
		if isCard(fmt.Sprintf("%016d", rng.Int64N(1e16))) {
			hits++
		}
	}
	if hits > 300 { // a tenth of those of a known issuer, about a fifth
		t.Errorf("%d of 10,000 random numbers are cards", hits)
	}
}

// docx makes a document as Word does, with its words cut into runs.
func docx(t *testing.T, paragraphs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>`)
	for _, p := range paragraphs {
		half := len(p) / 2
		fmt.Fprintf(w, "<w:p><w:r><w:t>%s</w:t></w:r><w:r><w:t>%s</w:t></w:r></w:p>", p[:half], p[half:])
	}
	fmt.Fprint(w, "</w:body></w:document>")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// attached returns a message with an attachment.
func attached(name, kind string, content []byte) string {
	return "From: ann@north.test\nSubject: file\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: " + kind +
		"\nContent-Disposition: attachment; filename=\"" + name + "\"\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(content) + "\n--b--\n"
}

const card = "4111 1111 1111 1111"

func TestWhereThingsAreFound(t *testing.T) {
	e := newEngine(t, Config{Rules: []Rule{{Name: "cards", Cards: true, Action: Block}}})
	sheet := func() []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, _ := z.Create("xl/worksheets/sheet1.xml")
		fmt.Fprint(w, `<worksheet><sheetData><row><c><v>1</v></c><c><v>4111111111111111</v></c><c><v>2</v></c></row></sheetData></worksheet>`)
		z.Close()
		return b.Bytes()
	}
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	w, _ := z.Create("a/list.csv")
	fmt.Fprint(w, "ann;"+card+"\n")
	z.Close()
	for _, c := range []struct{ name, content, where string }{
		{"the text", "Subject: x\n\n" + card + "\n", "in the text"},
		{"the subject", "Subject: " + card + "\n\nx\n", "subject"},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n4111 1111=\n 1111 1111\n", "in the text"},
		{"HTML, with tags between", "Content-Type: text/html\n\n<p>4111 <b>1111</b> 1111 1111</p>\n", "in the text"},
		{"blanks that do not break", "Content-Type: text/plain; charset=utf-8\n\n4111\u00a01111\u00a01111\u00a01111\n", "in the text"},
		{"digits of full width", "Content-Type: text/plain; charset=utf-8\n\n４１１１１１１１１１１１１１１１\n", "in the text"},
		{"letters without width between", "Content-Type: text/plain; charset=utf-8\n\n4111\u200b1111\u200b1111\u200b1111\n", "in the text"},
		{"a text file", attached("l.csv", "text/csv", []byte("a;"+card+"\n")), `in "l.csv"`},
		{"text under a type that says nothing", attached("l.dat", "application/octet-stream", []byte("a;"+card+"\n")), `in "l.dat"`},
		{"a document in pieces", attached("l.docx", "application/octet-stream", docx(t, "dear", card)), `in "l.docx"`},
		{"a sheet", attached("l.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", sheet()), `in "l.xlsx"`},
		{"a zip", attached("l.zip", "application/zip", zipped.Bytes()), `in "l.zip"`},
		{"a message in the message", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\n" + card + "\n--b--\n", "in the text"},
	} {
		r := scan(t, e, outgoing(c.content))
		if r.Action != mail.Reject || r.Reply == nil {
			t.Errorf("%s: %+v", c.name, r)
			continue
		}
		if text := r.Reply.Error(); !strings.HasPrefix(text, "550 5.7.1 ") || !strings.Contains(text, c.where) || !strings.Contains(text, "ends in 1111") {
			t.Errorf("%s: %s", c.name, text)
		}
		if all := fmt.Sprintf("%+v %v", r, r.Reply); strings.Contains(strings.ReplaceAll(all, " ", ""), "41111111") {
			t.Errorf("%s: the number is told: %s", c.name, all)
		}
	}
}

func TestRules(t *testing.T) {
	three := "Subject: x\n\n4111111111111111 5555555555554444 4111111111111111 378282246310005\n"
	for _, c := range []struct {
		name string
		rule Rule
		mail *filter.Mail
		want mail.Action
	}{
		{"block", Rule{Cards: true, Action: Block}, outgoing(three), mail.Reject},
		{"hold", Rule{Cards: true, Action: Hold}, outgoing(three), mail.Quarantine},
		{"warn", Rule{Cards: true, Action: Warn}, outgoing(three), mail.Tag},
		{"as many as are there", Rule{Cards: true, Count: 3, Action: Block}, outgoing(three), mail.Reject},
		{"one number twice counts once", Rule{Cards: true, Count: 4, Action: Block}, outgoing(three), mail.Accept},
		{"other kinds do not count", Rule{IBANs: true, Action: Block}, outgoing(three), mail.Accept},
		{"a pattern", Rule{Patterns: []string{`(?i)project\s+\w+stone`}, Action: Block}, outgoing("\nabout Project Millstone\n"), mail.Reject},
		{"a sender's domain", Rule{Cards: true, Senders: []string{"NORTH.test"}, Action: Block}, outgoing(three), mail.Reject},
		{"a sender", Rule{Cards: true, Senders: []string{"ann@north.test"}, Action: Block}, outgoing(three), mail.Reject},
		{"another sender", Rule{Cards: true, Senders: []string{"bob@north.test", "south.test", ".north.test"}, Action: Block}, outgoing(three), mail.Accept},
		{"all recipients are ours", Rule{Cards: true, Outside: true, Action: Block}, outgoing(three, "bob@north.test"), mail.Accept},
		{"one recipient is not", Rule{Cards: true, Outside: true, Action: Block}, outgoing(three, "bob@north.test", "x@else.test"), mail.Reject},
	} {
		c.rule.Name = "rule"
		e := newEngine(t, Config{Rules: []Rule{c.rule}, Ours: func(_ context.Context, a mail.Address) (bool, error) { return a.Domain == "north.test", nil }})
		r := scan(t, e, c.mail)
		if r.Action != c.want {
			t.Errorf("%s: got %v, want %v: %+v", c.name, r.Action, c.want, r)
		}
		if fields := len(r.Edits.Fields); (fields == 1) != (c.want == mail.Tag) {
			t.Errorf("%s: %d fields are added", c.name, fields)
		}
		if told := Notice("x", r) != ""; told != (c.want == mail.Tag || c.want == mail.Quarantine) {
			t.Errorf("%s: notice %q", c.name, Notice("x", r))
		}
		c.mail.Outgoing = false
		if r := scan(t, e, c.mail); r.Action != mail.Accept || len(r.Findings) > 0 {
			t.Errorf("%s: incoming mail: %+v", c.name, r)
		}
	}
}

func TestTheGravestActionWins(t *testing.T) {
	e := newEngine(t, Config{Rules: []Rule{{Name: "a", Cards: true, Action: Warn}, {Name: "b", Cards: true, Action: Block, Advice: "Ask Ben."}, {Name: "c", IBANs: true, Action: Hold}}})
	r := scan(t, e, outgoing("\n"+card+" DE89370400440532013000\n"))
	if r.Action != mail.Reject || len(r.Findings) != 3 || !strings.Contains(r.Reply.Text, `rule "b"`) || !strings.HasSuffix(r.Reply.Text, "Ask Ben.") {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Findings[2].Evidence, "an IBAN that ends in 3000") {
		t.Errorf("%+v", r.Findings[2])
	}
}

func TestADirectoryThatDoesNotAnswerIsAnError(t *testing.T) {
	down := errors.New("down")
	e := newEngine(t, Config{Rules: []Rule{{Name: "a", Cards: true, Outside: true, Action: Block}}, Ours: func(context.Context, mail.Address) (bool, error) { return false, down }})
	if _, err := e.Scan(t.Context(), outgoing("\n"+card+"\n")); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}

func TestBadRules(t *testing.T) {
	for name, r := range map[string]Rule{
		"no name":           {Cards: true, Action: Warn},
		"nothing":           {Name: "x", Action: Warn},
		"no action":         {Name: "x", Cards: true},
		"bad pattern":       {Name: "x", Patterns: []string{"("}, Action: Warn},
		"empty pattern":     {Name: "x", Patterns: []string{"a*"}, Action: Warn},
		"long pattern":      {Name: "x", Patterns: []string{strings.Repeat("a", MaxPattern+1)}, Action: Warn},
		"too many patterns": {Name: "x", Patterns: make([]string, MaxPatterns+1), Action: Warn},
		"bad share":         {Name: "x", Documents: []string{"*"}, Share: 1.5, Action: Warn},
		"a huge repetition": {Name: "x", Patterns: []string{"(a{1000}){1000}"}, Action: Warn},
	} {
		if _, err := New(Config{Rules: []Rule{r}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Config{Rules: make([]Rule, MaxRules+1)}); err == nil {
		t.Error("too many rules: no error")
	}
}

// prose makes a text of so many words, always the same for one seed.
func prose(seed uint64, words int) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range words {
		fmt.Fprintf(&b, "w%d ", rng.IntN(5000))
	}
	return b.String()
}

func TestDocumentsAreKnownAgain(t *testing.T) {
	keys := memkv.New()
	g := NewRegistry(keys)
	plan, other := prose(1, 3000), prose(2, 20_000)
	for name, text := range map[string]string{"plan": plan, "other": other} {
		f, err := NewFingerprint("x.txt", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Add(t.Context(), name, f, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(plan)
	half := strings.ToUpper(strings.Join(words[:len(words)/2], ", "))
	for _, c := range []struct {
		name, text string
		documents  []string
		share      float64
		want       bool
	}{
		{"the whole", plan, []string{"plan"}, 0.9, true},
		{"the half, in capitals and with commas", half, []string{"*"}, 0.45, true},
		{"the half is not two thirds", half, []string{"*"}, 0.66, false},
		{"amid other words", prose(9, 2000) + half + prose(8, 2000), []string{"*"}, 0.45, true},
		{"a large one, of which a sample is kept", other, []string{"other"}, 0.9, true},
		{"another than the rule names", plan, []string{"other"}, 0.1, false},
		{"what is not registered", prose(3, 3000), []string{"*"}, 0.01, false},
		{"the same words in another order", strings.Join(strings.Fields(strings.Join(reversed(words), " ")), " "), []string{"*"}, 0.01, false},
	} {
		e := newEngine(t, Config{Documents: g, Rules: []Rule{{Name: "secret", Documents: c.documents, Share: c.share, Action: Block}}})
		for form, content := range map[string]string{"text": "\n" + fold(c.text) + "\n", "docx": attached("a.docx", "application/x", docx(t, c.text))} {
			if r := scan(t, e, outgoing(content)); (r.Action == mail.Reject) != c.want {
				t.Errorf("%s as %s: %+v", c.name, form, r)
			}
		}
	}
	if err := g.Delete(t.Context(), "plan"); err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(t.Context(), "plan"); !errors.Is(err, ErrNoDocument) {
		t.Errorf("delete twice: %v", err)
	}
	e := newEngine(t, Config{Documents: g, Rules: []Rule{{Name: "secret", Documents: []string{"*"}, Action: Block}}})
	if r := scan(t, e, outgoing("\n"+fold(plan)+"\n")); r.Action != mail.Accept {
		t.Errorf("a deleted document is still known: %+v", r)
	}
	if list, err := NewRegistry(keys.Crash()).List(t.Context()); err != nil || len(list) != 1 || list[0].Name != "other" || list[0].Words != 20_000 {
		t.Errorf("after a crash: %+v, %v", list, err)
	}
}

func reversed(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[len(words)-1-i] = w
	}
	return out
}

// fold breaks a text into lines.
func fold(s string) string {
	var b strings.Builder
	for i, w := range strings.Fields(s) {
		b.WriteString(w)
		if i%10 == 9 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func TestRegistryIsBounded(t *testing.T) {
	g := NewRegistry(memkv.New())
	if _, err := NewFingerprint("x", []byte("too few words here")); err == nil {
		t.Error("a fingerprint of four words")
	}
	f, err := NewFingerprint("x", []byte(prose(1, 100)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range MaxDocuments {
		if err := g.Add(t.Context(), fmt.Sprint(i), f, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for name, try := range map[string]func() error{
		"one too many": func() error { return g.Add(t.Context(), "more", f, time.Now()) },
		"no name":      func() error { return g.Add(t.Context(), "", f, time.Now()) },
		"a long name":  func() error { return g.Add(t.Context(), strings.Repeat("x", MaxName+1), f, time.Now()) },
		"out of order": func() error {
			return g.Add(t.Context(), "1", Fingerprint{Shingles: []uint64{5, 4, 3, 2, 1}}, time.Now())
		},
		"too many pieces": func() error {
			return g.Add(t.Context(), "1", Fingerprint{Shingles: make([]uint64, maxShingles+1)}, time.Now())
		},
	} {
		if try() == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if err := g.Add(t.Context(), "7", f, time.Now()); err != nil {
		t.Errorf("registering anew: %v", err)
	}
}

// A bomb of zeros costs no more than what may be read of a message.
func TestBombs(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range 4 {
		w, err := z.Create(fmt.Sprintf("word/document%d.xml", i))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, "<p>")
		for range 64 {
			w.Write(bytes.Repeat([]byte("4"), 1<<20))
		}
	}
	for i := range maxEntries {
		w, _ := z.Create(fmt.Sprintf("%d.txt", i))
		w.Write([]byte("4"))
	}
	z.Close()
	e := newEngine(t, Config{Rules: []Rule{{Name: "a", Cards: true, IBANs: true, Patterns: []string{"(4+)+x"}, Action: Block}}})
	began := time.Now()
	if r := scan(t, e, outgoing(attached("a.docx", "application/zip", b.Bytes()))); r.Action != mail.Accept {
		t.Errorf("%+v", r)
	}
	t.Logf("a bomb of %d bytes took %v", b.Len(), time.Since(began))
	deep := strings.Repeat("<a>", 1<<20)
	var d bytes.Buffer
	z = zip.NewWriter(&d)
	w, _ := z.Create("word/document.xml")
	fmt.Fprint(w, deep)
	z.Close()
	scan(t, e, outgoing(attached("a.docx", "application/zip", d.Bytes())))
}

func FuzzText(f *testing.F) {
	f.Add("4111 1111 1111 1111 DE89 3704 0044 0532 0130 00")
	f.Add("GB29-NWBK-6016-1331-9268-19\x00４１１１")
	f.Fuzz(func(t *testing.T, s string) {
		s = normalise(s)
		eachCard(s, func(n string) bool {
			if !isCard(n) {
				t.Errorf("%q is no card", n)
			}
			return true
		})
		eachIBAN(s, func(n string) bool {
			if len(n) != ibanLength(n[:2]) {
				t.Errorf("%q is no IBAN", n)
			}
			return true
		})
		words := 0
		eachShingle(s, &words, func(uint64) {})
	})
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.Create("word/document.xml")
	fmt.Fprint(w, "<w:p><w:t>4111</w:t></w:p>&#x;<![CDATA[")
	z.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		r := &reader{left: 1 << 16}
		r.file("x", "x", content)
		total := 0
		for _, s := range r.texts {
			total += len(s.text)
		}
		if total > 1<<16 {
			t.Errorf("%d bytes of text were read", total)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	e, err := New(Config{Rules: []Rule{{Name: "a", Cards: true, IBANs: true, Action: Block}}})
	if err != nil {
		b.Fatal(err)
	}
	m := outgoing("Subject: x\n\n" + fold(prose(1, 5000)) + "\n")
	b.SetBytes(int64(len(m.Content)))
	for b.Loop() {
		if _, err := e.Scan(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
