package message

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// vectors is where the public test vectors lie, seen from this directory.
const vectors = "../../shared/testdata"

// readVectors decodes one JSON file of vectors, or skips the test when it is not there.
func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: public test vectors are missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// A vector is a field's value and what another parser makes of it.
type vector[T any] struct {
	Header   string
	Expected T
}

// value returns the field's value as Parse cuts it out: the vectors go on with other fields.
func (v vector[T]) value() string {
	return Parse([]byte("X:" + v.Header)).Header.Get("X")
}

// differs tells whether a row is a known exception, and fails when an exception has become none.
func differs(t *testing.T, exceptions map[string]string, header, got, want string) bool {
	t.Helper()
	reason, excepted := exceptions[header]
	switch {
	case excepted && got == want:
		t.Errorf("%q is as expected now; it is no exception any more (%s)", header, reason)
	case !excepted && got != want:
		t.Errorf("%q\n got %s\nwant %s", header, got, want)
	}
	return got != want
}

func TestVectorsOfDates(t *testing.T) {
	type date struct {
		Year, Month, Day, Hour, Minute, Second int
		Before                                 bool `json:"tz_before_gmt"`
		TZHour                                 int  `json:"tz_hour"`
		TZMinute                               int  `json:"tz_minute"`
	}
	var rows []vector[*date]
	readVectors(t, "mime/mail-parser/date.json", &rows)
	exceptions := map[string]string{
		"20 11 (some \n 44 comments(more comments\n )) 79 05:34:27 -0300": "a month is a name (RFC 5322 section 3.3)",
		" 4 8 15 16 23 42, 4 8 15 16 23 42, 4 8 15 16 23 42, ":            "no date at all",
		"Tue, 1 Jul 2003 ((invalid)\ncomment) 10:52:37 +0200":             "a date without time is better than none",
		"by 2002:aa7:cd10:0:b0:45c:2c83:1208 with SMTP id b16-20020aa7cd10000000b0045c2c831208mr4220805edw.81.1665423075119;\n\tMon, 10 Oct 2022 10:31:15 -0700 (PDT)": "a whole Received value is no date",
	}
	for _, row := range rows {
		want := "none"
		if e := row.Expected; e != nil {
			offset := e.TZHour*3600 + e.TZMinute*60
			if e.Before {
				offset = -offset
			}
			want = time.Date(e.Year, time.Month(e.Month), e.Day, e.Hour, e.Minute, e.Second, 0, time.FixedZone("", offset)).
				Format(time.RFC3339)
		}
		got := "none"
		if d, ok := ParseDate(row.value()); ok {
			got = strings.Replace(d.Format(time.RFC3339), "Z", "+00:00", 1)
		}
		differs(t, exceptions, row.Header, got, strings.Replace(want, "Z", "+00:00", 1))
	}
}

func TestVectorsOfMessageIDs(t *testing.T) {
	var rows []vector[[]string]
	readVectors(t, "mime/mail-parser/id.json", &rows)
	for _, row := range rows {
		differs(t, nil, row.Header, strings.Join(ParseMessageIDs(row.value()), "|"), strings.Join(row.Expected, "|"))
	}
}

func TestVectorsOfText(t *testing.T) {
	var rows []vector[*string]
	readVectors(t, "mime/mail-parser/unstructured.json", &rows)
	const joined = "there is no white space to keep: a filter wrote its tag right before the word"
	exceptions := map[string]string{
		"[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb3JpZ2luYWwgc3ViamVjdA==?=\n":        joined,
		"[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\n 3JpZ2luYWwgc3ViamVjdA==?=\n":     joined,
		"[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\r\n 3JpZ2luYWwgc3ViamVjdA==?=\r\n": joined,
	}
	for _, row := range rows {
		want := ""
		if row.Expected != nil {
			want = *row.Expected
		}
		differs(t, exceptions, row.Header, joinSpace(DecodeWords(row.value())), joinSpace(want))
	}
}

// joinSpace makes runs of white space one space: the vectors fold so, RFC 5322 section 2.2.3 does
// not.
func joinSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestVectorsOfContentType(t *testing.T) {
	type contentType struct {
		Type       string      `json:"c_type"`
		Subtype    *string     `json:"c_subtype"`
		Attributes [][2]string `json:"attributes"`
	}
	var rows []vector[*contentType]
	readVectors(t, "mime/mail-parser/content_type.json", &rows)
	const (
		disposition = "a Content-Disposition, which is read elsewhere"
		undeclared  = "nonsense counts as text/plain, keeping the charset (RFC 2045 section 5.2)"
		unknown     = "a type without subtype is application/octet-stream"
		text        = "text without subtype is text/plain"
		inner       = "three parts are not in the grammar: the third is left out"
	)
	exceptions := map[string]string{
		"inline\n":                              disposition,
		"test/\n":                               unknown,
		"name=value\n":                          unknown,
		"/ ; name=value\n":                      undeclared,
		"=\n":                                   undeclared,
		";charset=us-ascii\n":                   undeclared,
		" ;charset=us-ascii\n":                  undeclared,
		"/;charset=us-ascii\n":                  undeclared,
		"/ ;charset=us-ascii\n":                 undeclared,
		"/plain;charset=us-ascii\n":             undeclared,
		"/plain ;charset=us-ascii\n":            undeclared,
		"text/\n":                               text,
		"text/;charset=us-ascii\n":              text,
		"text/ ;charset=us-ascii\n":             text,
		"text/plain/format\n":                   inner,
		"text/plain/format;charset=us-ascii\n":  inner,
		"text/plain/format ;charset=us-ascii\n": inner,
	}
	prefixes := map[string]string{ // exceptions too long to write out
		" inline; filename=":                    disposition,
		"attachment;":                           disposition,
		"test/encoded;":                         "a parameter may be called *",
		"malicious/attempt;":                    "names of stars alone mean nothing; what matters is that it ends",
		"application/pdf\n   filename*0*=":      "only the first section has a charset (RFC 2231 section 4.1)",
		"image/jpeg;\n   name=\"=?iso-8859-1?B": "white space between encoded words is dropped (RFC 2047 section 6.2)",
		"text/plain; name=  \n":                 "an empty value is a value",
	}
	show := func(main, sub string, params Params) string {
		var list []string
		for _, p := range params {
			if !strings.HasSuffix(p.Name, "-language") { // nobody asks for the language of a file name
				list = append(list, p.Name+"="+p.Value)
			}
		}
		slices.Sort(list)
		return main + "/" + sub + ";" + strings.Join(list, ";")
	}
	for _, row := range rows {
		for prefix, reason := range prefixes {
			if strings.HasPrefix(row.Header, prefix) {
				exceptions[row.Header] = reason
			}
		}
		p := &Part{MediaType: "text", Subtype: "plain"}
		p.contentType(Parse([]byte("X:" + row.Header)).Header.Fields()[0].Value())
		got := show(p.MediaType, p.Subtype, p.Params)
		want := "text/plain;"
		if e := row.Expected; e != nil {
			var params Params
			for _, a := range e.Attributes {
				params = append(params, Param{a[0], a[1]})
			}
			sub := ""
			if e.Subtype != nil {
				sub = *e.Subtype
			}
			want = show(e.Type, sub, params)
		}
		differs(t, exceptions, row.Header, got, want)
	}
}

func TestVectorsOfAddresses(t *testing.T) {
	type address struct{ Name, Address *string }
	type group struct {
		Name      *string
		Addresses []address
	}
	type addresses struct {
		List  []address
		Group []group
	}
	var rows []vector[addresses]
	readVectors(t, "mime/mail-parser/address.json", &rows)
	const comments = "a comment is the name only where there is no phrase"
	exceptions := map[string]string{
		"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\n":                                                            comments,
		"Pete(A nice \n \\\n ) chap) <pete(his\n account)@silly\n .test(his host)>\n":                                                 comments,
		"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\n":                                                           comments,
		"John Doe <jdoe@machine(comment).  example>\n":                                                                                comments,
		"Nathaniel Borenstein <nsb@thumper.bellcore.com>\n    (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)\n":                              comments,
		"Name (comment) =?utf-8?q?Doe?= <a@b.com>\n":                                                                                  comments,
		"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example\n":                                                          "the route is kept apart, and white space is not part of a domain",
		"\"  James Smythe\" <james@example.com>, Friends:\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\n   <john@example.com>;\n": "names are trimmed",
	}
	for _, row := range rows {
		if strings.HasPrefix(row.Header, "A Group(Some people)") {
			exceptions[row.Header] = comments
		}
	}
	str := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, row := range rows {
		var want, got strings.Builder
		list := func(as []address) {
			for _, a := range as {
				want.WriteString(str(a.Name) + " <" + str(a.Address) + ">, ")
			}
		}
		list(row.Expected.List)
		for _, g := range row.Expected.Group {
			if g.Name != nil {
				want.WriteString(str(g.Name) + ": ")
			}
			list(g.Addresses)
			if g.Name != nil {
				want.WriteString("; ")
			}
		}
		showAddresses(&got, ParseAddresses(row.value()))
		differs(t, exceptions, row.Header, got.String(), want.String())
	}
}

func showAddresses(b *strings.Builder, list []MailAddress) {
	for _, a := range list {
		if a.Group {
			b.WriteString(a.Name + ": ")
			showAddresses(b, a.Members)
			b.WriteString("; ")
			continue
		}
		address := a.Local
		if a.Domain != "" {
			address += "@" + a.Domain
		}
		b.WriteString(a.Name + " <" + address + ">, ")
	}
}

// TestVectorsOfStructure compares trees of types with those of mail-parser.
func TestVectorsOfStructure(t *testing.T) {
	const (
		longest = "the longest open boundary that fits counts, so that an outer one is not lost to a shorter inner one"
		empty   = "a multipart without parts is text, so that its body can be seen"
	)
	exceptions := map[string]string{
		"malformed/000": "a part whose header ends in a delimiter is a part with that header",
		"malformed/001": longest,
		"malformed/002": empty,
		"malformed/007": "a boundary is open only after its header has ended",
		"malformed/008": longest,
		"malformed/009": "an outer delimiter ends the inner multipart (RFC 2046 section 5.1.2)",
		"malformed/011": "an outer delimiter ends the inner multipart (RFC 2046 section 5.1.2)",
		"malformed/012": "an outer delimiter ends the inner multipart (RFC 2046 section 5.1.2)",
		"malformed/016": longest,
		"malformed/019": "delimiters that differ in case are none",
		"malformed/020": "the first Content-Type counts",
		"malformed/021": "the first Content-Type counts",
		"malformed/022": "a broken enclosed message is one with an empty header",
		"rfc/004":       "a part of a digest is a message (RFC 2046 section 5.1.5)",
		"rfc/008":       "an encoded message/rfc822 is a file (RFC 2046 section 5.2.1)",
	}
	files, _ := filepath.Glob(filepath.Join(vectors, "mime/mail-parser/*/*.eml"))
	if len(files) == 0 {
		t.Skip("SKIPPED: public test vectors are missing: mime/mail-parser")
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".eml")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, lineEnd := range []string{"\n", "\r\n"} {
			var want parsedMessage
			suffix := ".json"
			if lineEnd == "\r\n" {
				suffix = ".crlf.json"
			}
			readVectors(t, "mime/mail-parser/"+name+suffix, &want)
			unix := strings.ReplaceAll(string(content), "\r\n", "\n")
			m := Parse([]byte(strings.ReplaceAll(unix, "\n", lineEnd)))
			differs(t, exceptions, name, m.Root.tree(), want.tree(0))
		}
	}
}

// tree prints the types of p: "mixed(plain html)".
func (p *Part) tree() string {
	var inside []string
	for _, c := range p.Children {
		inside = append(inside, c.tree())
	}
	if p.Message != nil {
		inside = append(inside, p.Message.Root.tree())
	}
	if inside == nil {
		return p.Subtype
	}
	return p.Subtype + "(" + strings.Join(inside, " ") + ")"
}

type parsedMessage struct {
	Parts []struct {
		Headers []struct {
			Name  any
			Value any
		}
		Body struct {
			Multipart []int
			Message   *parsedMessage
		}
	}
}

func (m *parsedMessage) tree(part int) string {
	p := m.Parts[part]
	subtype := "plain"
	for _, h := range p.Headers {
		if v, ok := h.Value.(map[string]any); ok && h.Name == "content_type" {
			subtype = fmt.Sprint(v["ContentType"].(map[string]any)["c_subtype"])
		}
	}
	var inside []string
	for _, c := range p.Body.Multipart {
		inside = append(inside, m.tree(c))
	}
	if p.Body.Message != nil {
		inside = append(inside, p.Body.Message.tree(0))
	}
	if inside == nil {
		return subtype
	}
	return subtype + "(" + strings.Join(inside, " ") + ")"
}

// A mime4jEntity is a message or body-part of the XML that mime4j prints.
type mime4jEntity struct {
	XMLName   xml.Name
	Body      *string       `xml:"body"`
	Message   *mime4jEntity `xml:"message"`
	Multipart *struct {
		Parts []mime4jEntity `xml:"body-part"`
	} `xml:"multipart"`
}

func (e mime4jEntity) shape() string {
	switch {
	case e.Multipart != nil:
		var inside []string
		for _, p := range e.Multipart.Parts {
			inside = append(inside, p.shape())
		}
		return "(" + strings.Join(inside, " ") + ")"
	case e.Message != nil:
		return "[" + e.Message.shape() + "]"
	}
	return "leaf"
}

func (p *Part) shape() string {
	switch {
	case p.IsMultipart():
		var inside []string
		for _, c := range p.Children {
			inside = append(inside, c.shape())
		}
		return "(" + strings.Join(inside, " ") + ")"
	case p.Message != nil:
		return "[" + p.Message.Root.shape() + "]"
	}
	return "leaf"
}

// TestVectorsOfMime4j compares trees with those of Apache James.
func TestVectorsOfMime4j(t *testing.T) {
	const (
		encoded = "an encoded message/rfc822 is a file (RFC 2046 section 5.2.1)"
		empty   = "a multipart without parts is text, so that its body can be seen"
	)
	exceptions := map[string]string{
		"bad-newlines-multiple-parts-base64.msg": encoded,
		"base64encoded-rfc822message-nested.msg": encoded,
		"base64encoded-rfc822message.msg":        encoded,
		"missing-boundary.msg":                   empty,
		"missing-inner-boundary.msg":             empty,
		"missing-inner-start-boundary.msg":       empty,
		"multipartnopart.msg":                    empty,
		"very-very-long-boundary.msg":            "a boundary longer than a line is none",
		"very-long-boundary.msg":                 "a boundary does not end in white space (RFC 2046 section 5.1.1)",
		"weird-boundary.msg":                     "a boundary does not end in white space (RFC 2046 section 5.1.1)",
	}
	files, _ := filepath.Glob(filepath.Join(vectors, "mime/mime4j/testmsgs/*.msg"))
	if len(files) == 0 {
		t.Skip("SKIPPED: public test vectors are missing: mime/mime4j")
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := os.Open(strings.TrimSuffix(file, ".msg") + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		var want mime4jEntity
		decoder := xml.NewDecoder(expected)
		decoder.Strict = false
		decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
		err = decoder.Decode(&want)
		expected.Close()
		name := filepath.Base(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m := Parse(content)
		checkInvariants(t, m)
		differs(t, exceptions, name, m.Root.shape(), want.shape())
	}
}

// TestVectorsOfMikel parses what the tests of Ruby's mail library gathered, much of it broken.
func TestVectorsOfMikel(t *testing.T) {
	n := 0
	err := filepath.WalkDir(filepath.Join(vectors, "mime/mikel-mail/emails"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		m := Parse(content)
		checkInvariants(t, m)
		if len(m.Header.Fields()) == 0 {
			t.Errorf("%s: no header found", path)
		}
		return nil
	})
	if os.IsNotExist(err) {
		t.Skip("SKIPPED: public test vectors are missing: mime/mikel-mail")
	}
	if err != nil || n < 90 {
		t.Errorf("%d messages, %v", n, err)
	}
}

func TestFilenamesOfMikel(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"attachment_emails/attachment_nonascii_filename.eml", "ciële.txt"},
		{"attachment_emails/attachment_with_quoted_filename.eml", "Eelanalüüsi päring.jpg"},
		{"attachment_emails/attachment_with_encoded_name.eml", "01 Quien Te Dij\uFFFDat. Pitbull.mp3"},
		{"attachment_emails/attachment_content_disposition.eml", "api.rb"},
	} {
		content, err := os.ReadFile(filepath.Join(vectors, "mime/mikel-mail/emails", c.file))
		if err != nil {
			t.Skip("SKIPPED: public test vectors are missing: mime/mikel-mail")
		}
		var names []string
		Parse(content).Walk(func(p *Part) bool {
			if name := p.Filename(); name != "" {
				names = append(names, name)
			}
			return true
		})
		if strings.Join(names, "|") != c.want {
			t.Errorf("%s: got %q, want %q", c.file, names, c.want)
		}
	}
}

// TestVectorsOfIsEmail reads every address that isemail calls valid by some RFC, obsolete syntax
// included, and compares it with what the standard library makes of it where that understands it.
// Invalid addresses are not refused here: reading a header refuses nothing.
func TestVectorsOfIsEmail(t *testing.T) {
	exceptions := map[string]string{}
	n := 0
	for _, file := range []string{"tests.xml", "tests-original.xml"} {
		data, err := os.ReadFile(filepath.Join(vectors, "address/isemail", file))
		if os.IsNotExist(err) {
			t.Skipf("SKIPPED: public test vectors are missing: %v", err)
		}
		var tests struct {
			Test []struct {
				Address  string `xml:"address"`
				Category string `xml:"category"`
			} `xml:"test"`
		}
		if err := xml.Unmarshal(data, &tests); err != nil {
			t.Fatal(err)
		}
		for _, row := range tests.Test {
			address := strings.Map(control, row.Address)
			list := ParseAddresses(address)
			if row.Category == "" || row.Category == "ISEMAIL_ERR" {
				continue
			}
			n++
			got := fmt.Sprintf("%d addresses", len(list))
			if len(list) == 1 {
				got = list[0].Local + "@" + list[0].Domain
			}
			want := got
			if len(list) != 1 || list[0].Domain == "" {
				want = "one address with a domain"
			} else if a, err := netmail.ParseAddress(address); err == nil {
				want = a.Address
			}
			differs(t, exceptions, address, got, want)
		}
	}
	if n < 90 {
		t.Errorf("only %d addresses", n)
	}
}

// control turns the symbol for a control character into it: XML cannot hold those.
func control(r rune) rune {
	if r >= 0x2400 && r < 0x2420 {
		return r - 0x2400
	}
	return r
}
