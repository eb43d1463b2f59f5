package dkim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/message"
)

// now is when the tests sign and verify.
var now = time.Unix(1_700_000_000, 0)

// testKeys are one of each kind: making RSA keys takes long.
var testKeys = sync.OnceValue(func() [2]SigningKey {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return [2]SigningKey{{"r", r}, {"e", e}}
})

func recordOf(t testing.TB, k SigningKey) string {
	t.Helper()
	switch public := k.Private.Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	default:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
}

// signer returns one for north.test with both keys, and its records.
func signer(t testing.TB) (*Signer, map[string]string) {
	keys := testKeys()
	s := &Signer{Domain: "north.test", Keys: keys[:]}
	return s, map[string]string{
		"r._domainkey.north.test": recordOf(t, keys[0]),
		"e._domainkey.north.test": recordOf(t, keys[1]),
	}
}

const letter = "From: Ann <ann@north.test>\r\nTo: bob@south.test\r\nSubject: An example\r\n of folding\r\n" +
	"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <1@north.test>\r\n\r\nHello Bob,\r\n\r\nall is well.\r\n\r\n\r\n"

func verify(t testing.TB, records map[string]string, content []byte) []Verification {
	t.Helper()
	_, r := world(t, records)
	return NewVerifier(r).Verify(t.Context(), message.ParseHeader(content), content, now)
}

func sign(t testing.TB, s *Signer, content string) []byte {
	t.Helper()
	fields, err := s.Sign([]byte(content), now)
	if err != nil {
		t.Fatal(err)
	}
	return append(fields, content...)
}

// wantAll fails the test unless there are n results, all of them want.
func wantAll(t *testing.T, got []Verification, n int, want Result) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%d results, want %d", len(got), n)
	}
	for _, v := range got {
		if v.Result != want {
			t.Errorf("%s, want %s", v.Resinfo(), want)
		}
	}
}

func TestWhatIsSignedVerifies(t *testing.T) {
	s, records := signer(t)
	long := strings.Repeat("x", 5000)
	for name, content := range map[string]string{
		"an ordinary letter":              letter,
		"no body":                         "From: a@north.test\r\n\r\n",
		"no empty line after the header":  "From: a@north.test\r\n",
		"a body of empty lines":           "From: a@north.test\r\n\r\n\r\n\r\n\r\n",
		"a body of white space":           "From: a@north.test\r\n\r\n \r\n\t\r\n \t ",
		"no line break at the end":        "From: a@north.test\r\n\r\nHello",
		"eight bits":                      "From: a@north.test\r\nSubject: \xe4\xf6\xfc\r\n\r\nGr\xfc\xdfe \x00\xff\r\n",
		"UTF-8":                           "From: ä@north.test\r\nSubject: Grüße\r\n\r\nGrüße\r\n",
		"lines that end in LF":            "From: a@north.test\nSubject: x\n y\n\nHello\n\n\n",
		"an LF alone in the body":         "From: a@north.test\r\n\r\nHello\nthere\r\n",
		"lines of 5000 bytes":             "From: a@north.test\r\nX: " + long + "\r\nSubject: " + long + "\r\n\r\n" + long + "\r\n" + long,
		"words of several spaces":         "From:  a@north.test \r\nSubject :  a \t b  \r\n\r\nA  b\t\tc \r\n \r\nd \r\n",
		"two of a field that is one":      "From: a@north.test\r\nFrom: b@north.test\r\nSubject: x\r\nSubject: y\r\n\r\n",
		"a field with an empty value":     "From: a@north.test\r\nSubject:\r\nCc: \r\n\r\n",
		"more fields than a signature is": "From: a@north.test\r\n" + strings.Repeat("To: b@south.test\r\n", 1000) + "\r\n",
		"list fields":                     "From: a@north.test\r\nList-Id: <x.north.test>\r\nList-Unsubscribe: <mailto:x@north.test>\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			wantAll(t, verify(t, records, sign(t, s, content)), 2, Pass)
		})
	}
}

func TestALoneCRIsSignedAsItArrives(t *testing.T) {
	s, records := signer(t)
	fields, err := s.Sign([]byte("From: a@north.test\r\n\r\nHello\rthere\r\r\nyou\r"), now)
	if err != nil {
		t.Fatal(err)
	}
	arrived := append(fields, "From: a@north.test\r\n\r\nHello\r\nthere\r\n\r\nyou\r\n"...)
	wantAll(t, verify(t, records, arrived), 2, Pass)
}

func TestChangesAreNoticed(t *testing.T) {
	s, records := signer(t)
	signed := sign(t, s, letter)
	for name, change := range map[string][2]string{
		"a word of the body":         {"all is well", "all is bad "},
		"a line at the end":          {"well.\r\n", "well.\r\nP.S.\r\n"},
		"the author":                 {"Ann <ann@", "Eve <ann@"},
		"the subject":                {"An example", "No example"},
		"a second From":              {"To: bob", "From: eve@evil.test\r\nTo: bob"},
		"a second Subject":           {"To: bob", "Subject: Win\r\nTo: bob"},
		"an answer elsewhere":        {"To: bob", "Reply-To: eve@evil.test\r\nTo: bob"},
		"a type for the body":        {"To: bob", "Content-Type: text/html\r\nTo: bob"},
		"a copy":                     {"To: bob", "Cc: eve@evil.test\r\nTo: bob"},
		"a field taken away":         {"Message-ID: <1@north.test>\r\n", ""},
		"when it was signed":         {"t=1700000000", "t=1700000001"},
		"the body hash":              {"bh=", "bh=AAAA"},
		"a space in the body's word": {"all is", "al l is"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := bytes.ReplaceAll(signed, []byte(change[0]), []byte(change[1]))
			if bytes.Equal(changed, signed) {
				t.Fatal("nothing was changed")
			}
			for _, v := range verify(t, records, changed) {
				if v.Result == Pass {
					t.Errorf("%s", v.Resinfo())
				}
			}
		})
	}
}

func TestHarmlessChangesAreForgiven(t *testing.T) {
	s, records := signer(t)
	signed := string(sign(t, s, letter))
	for name, changed := range map[string]string{
		"fields of others on top":  "Received: from x by y; z\r\nX-Spam: no\r\n" + signed,
		"another folding":          strings.Replace(signed, "An example\r\n of", "An\r\n\texample of", 1),
		"empty lines at the end":   signed + "\r\n\r\n",
		"the case of a name":       strings.Replace(signed, "\r\nSubject:", "\r\nSUBJECT:", 1),
		"lines that end in LF":     strings.ReplaceAll(signed, "\r\n", "\n"),
		"a list's fields":          "List-Id: <list.test>\r\nSender: l@list.test\r\n" + signed,
		"white space at line ends": strings.Replace(signed, "Bob,\r\n", "Bob, \t\r\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			wantAll(t, verify(t, records, []byte(changed)), 2, Pass)
		})
	}
}

func TestSignaturesAreFolded(t *testing.T) {
	s, _ := signer(t)
	s.Expire = time.Hour
	fields, err := s.Sign([]byte(letter), now)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(fields) {
		if len(line) > 80 || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("the line %q has %d bytes", line, len(line))
		}
	}
	if want := fmt.Sprintf("x=%d;", now.Add(time.Hour).Unix()); bytes.Count(fields, []byte(want)) != 2 {
		t.Errorf("no %s in\n%s", want, fields)
	}
}
