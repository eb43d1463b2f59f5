package submit

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

const (
	plainText = "Ask before you reply.\r\nExample Ltd, Zürich — Straße 1\r\n"
	asciiText = "Ask before you reply.\r\n>quoted\r\nFrom here on.\r\n"
)

func disclaimer(t *testing.T, text, markup string) *Disclaimer {
	t.Helper()
	d, err := NewDisclaimer("North.test", text, markup)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

const head = "From: ann@north.test\nTo: eve@else.test\nSubject: x\nMIME-Version: 1.0\n"

// wholesome are messages that get a disclaimer, by what is special about them.
var wholesome = map[string]string{
	"bare":                             "From: ann@north.test\nTo: eve@else.test\n\nHello.\n",
	"bare without an end of line":      "From: ann@north.test\n\nHello.",
	"empty":                            head + "\n",
	"us-ascii":                         head + "Content-Type: text/plain\nContent-Transfer-Encoding: 7bit\n\nHello.\n",
	"utf-8 in 8bit":                    head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße.\n",
	"latin-1 in quoted-printable":      head + "Content-Type: text/plain; charset=\"iso-8859-1\"\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe.\n",
	"windows-1252 has all of it":       head + "Content-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe =80.\n",
	"koi8-r has not":                   head + "Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: quoted-printable\n\n=F0=D2=C9=D7=C5=D4\n",
	"base64":                           head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZS4NCg==\n",
	"format=flowed":                    head + "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\n\nHello \nthere.\n",
	"HTML alone":                       head + "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<html><BODY bgcolor=3D\"white\">Gr=FC=DFe</BODY></html>\n",
	"HTML without a body's end":        head + "Content-Type: text/html\n\n<p>Hi\n",
	"alternative":                      head + "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nSGk=\n--b\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>Hi</p></body></html>\n--b--\n",
	"alternative with related":         head + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nHi\n--b\nContent-Type: multipart/related; boundary=c\n\n--c\nContent-Type: text/html\n\n<body><img src=\"cid:i\"></body>\n--c\nContent-Type: image/png\nContent-ID: <i>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--c--\n--b--\n",
	"an invitation":                    head + "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nCome\n--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n--b--\n",
	"attachments":                      head + "Content-Type: multipart/mixed; boundary=\"b b\"\n\npreamble\n--b b\nContent-Type: text/plain\n\nSee.\n\n--b b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=x.bin\nContent-Transfer-Encoding: base64\n\nAAECAwQFBgcICQoNDQoK\n--b b\nContent-Type: text/plain; name=n.txt\nContent-Disposition: attachment\nContent-Transfer-Encoding: quoted-printable\n\n=00=FF=0A\n--b b--\nepilogue\n",
	"alternative in mixed":             head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nplain\n--c\nContent-Type: text/html\n\n<b>html</b>\n--c--\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\nJVBERi0=\n--b--\n",
	"an attachment first":              head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nnot here\n--b\nContent-Type: text/plain\n\nhere\n--b--\n",
	"a forwarded message":              head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\nFrom: z@z.test\nSubject: y\n\nnot here\n--b--\n",
	"a signed message as attachment":   head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\nFrom: z@z.test\nDKIM-Signature: v=1\n\nnot here\n--b--\n",
	"long lines in quoted-printable":   head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("abc=\n", 100) + "\ntrailing=20\n",
	"a line break written out in HTML": head + "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<p>a=0D=0Ab</p></bo=\ndy>\n",
}

// compare is run by Python's own parser of mail, and prints what is wrong.
const compare = `
import email, email.policy, json, sys
def leaves(m):
    if m.get_content_type() == "message/rfc822":
        return [("message/rfc822", m.get_payload(0).as_bytes())]
    if m.is_multipart():
        return [x for p in m.get_payload() for x in leaves(p)]
    return [(m.get_content_type() + "|" + str(m.get_content_disposition()), m)]
def shape(m):
    if m.is_multipart():
        return [m.get_content_type(), m.preamble, m.epilogue] + [shape(p) for p in m.get_payload()]
    return m.get_content_type()
def text(m):
    return m.get_payload(decode=True).decode(m.get_content_charset("us-ascii"), "strict")
out = {}
for name, before, after, plain, mark in json.load(sys.stdin):
    wrong = []
    a = email.message_from_bytes(bytes.fromhex(before), policy=email.policy.SMTP)
    b = email.message_from_bytes(bytes.fromhex(after), policy=email.policy.SMTP)
    if shape(a) != shape(b): wrong.append("the structure is another: %r, %r" % (shape(a), shape(b)))
    found = 0
    for (ka, x), (kb, y) in zip(leaves(a), leaves(b)):
        if ka != kb: wrong.append("%s became %s" % (ka, kb))
        if isinstance(x, bytes):
            if x != y: wrong.append("an enclosed message was changed")
            continue
        if y.defects and not x.defects: wrong.append("defects %r" % y.defects)
        if x.get_payload(decode=True) == y.get_payload(decode=True): continue
        if ka not in ("text/plain|None", "text/html|None"): wrong.append("%s was changed" % ka); continue
        s, t = text(x).replace("\r\n", "\n"), text(y).replace("\r\n", "\n")
        found += 1
        if ka.startswith("text/plain"):
            if not t.startswith(s): wrong.append("the text is another: %r, %r" % (s, t))
            if plain.replace("\r\n", "\n").rstrip() not in t.replace("\n >", "\n>").replace("\n From", "\nFrom"): wrong.append("no disclaimer in %r" % t)
        elif mark not in t: wrong.append("no disclaimer in %r" % t)
        if y.get("Content-Transfer-Encoding", "7bit") == "7bit" and any(c > 127 for c in y.get_payload().encode("utf-8", "surrogateescape")): wrong.append("8bit under 7bit")
    if not found: wrong.append("nothing was added")
    out[name] = wrong
json.dump(out, sys.stdout)
`

func TestDisclaimersKeepMIMEWhole(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal("python3 is not installed, and POSTHASTE_REQUIRE_PEERS is set")
		}
		t.Skip("SKIPPED PEER: python3 is not installed: sh scripts/install-peers.sh installs it")
	}
	for kind, text := range map[string]string{"ascii": asciiText, "not ascii": plainText} {
		d := disclaimer(t, text, "")
		var cases [][5]string
		for name, content := range wholesome {
			before := crlf(content)
			after, why := d.add(before)
			if why != "" {
				t.Errorf("%s, %s: nothing was added: %s", kind, name, why)
				continue
			}
			if again, why := d.add(after); why == "" || !bytes.Equal(again, after) {
				t.Errorf("%s, %s: it was added twice", kind, name)
			}
			if message.ShapeOf(before).SevenBit() && !message.ShapeOf(after).SevenBit() {
				t.Errorf("%s, %s: what was 7bit is not any more", kind, name)
			}
			cases = append(cases, [5]string{name, hex(before), hex(after), text, "<div>\n<p>Ask before you reply."})
		}
		input, err := json.Marshal(cases)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", compare)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
		output, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var wrong map[string][]string
		if err := json.Unmarshal(output, &wrong); err != nil {
			t.Fatal(err)
		}
		if len(wrong) != len(cases) {
			t.Errorf("%d of %d messages were compared", len(wrong), len(cases))
		}
		for name, list := range wrong {
			for _, w := range list {
				t.Errorf("%s, %s: %s", kind, name, w)
			}
		}
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestWhatIsSignedOrEncryptedStaysAsItIs(t *testing.T) {
	d := disclaimer(t, asciiText, "")
	for name, content := range map[string]string{
		"DKIM":                    "DKIM-Signature: v=1\n" + head + "\nHi\n",
		"ARC":                     "ARC-Seal: i=1\n" + head + "\nHi\n",
		"multipart/signed":        head + "Content-Type: multipart/signed; boundary=b; micalg=sha-256; protocol=\"application/pkcs7-signature\"\n\n--b\n\nHi\n--b\nContent-Type: application/pkcs7-signature\n\nx\n--b--\n",
		"signed within mixed":     head + "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nHi\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n--a\n\nfooter\n--a--\n",
		"S/MIME":                  head + "Content-Type: application/pkcs7-mime; smime-type=signed-data\nContent-Transfer-Encoding: base64\n\nMIAG\n",
		"multipart/encrypted":     head + "Content-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b--\n",
		"PGP in the text":         head + "\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHi\n",
		"a report":                head + "Content-Type: multipart/report; boundary=b\n\n--b\n\nHi\n--b--\n",
		"a checksum":              head + "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Type: text/plain\n\nHi\n",
		"no text":                 head + "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n",
		"an unknown encoding":     head + "Content-Transfer-Encoding: x-uuencode\n\nHi\n",
		"broken base64":           head + "Content-Transfer-Encoding: base64\n\n%%%%%\n",
		"a charset of two bytes":  head + "Content-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAGgAaQ==\n",
		"a multipart of nothing":  head + "Content-Type: multipart/mixed; boundary=b\n\nHi\n",
		"text that is too large":  head + "\n" + strings.Repeat("Hi, this is long.\n", maxDisclaimed/17),
		"a marker":                head + disclaimedField + ": added\n\nHi\n",
		"too deep":                head + deep(maxDisclaimDepth+2),
		"signed in alternative":   head + "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nHi\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nHi\n--b--\n--a--\n",
		"a header without an end": "From: ann@north.test",
	} {
		before := crlf(content)
		kept := bytes.Clone(before)
		after, why := d.add(before)
		if !bytes.Equal(after, kept) || why == "" {
			t.Errorf("%s: changed, or no reason: %q", name, why)
		}
	}
}

// deep returns so many multiparts, one in the other.
func deep(n int) string {
	if n == 0 {
		return "\nHi\n"
	}
	b := strings.Repeat("b", n)
	return "Content-Type: multipart/mixed; boundary=" + b + "\n\n--" + b + "\n" + deep(n-1) + "\n--" + b + "--\n"
}

func TestBadDisclaimers(t *testing.T) {
	for name, c := range map[string][3]string{
		"no domain":   {"", "x", ""},
		"no text":     {"north.test", " \n", ""},
		"no UTF-8":    {"north.test", "\xff", ""},
		"a NUL":       {"north.test", "a\x00", ""},
		"a long line": {"north.test", strings.Repeat("x", maxDisclaimerLine+1), ""},
		"long HTML":   {"north.test", "x", strings.Repeat("x", maxDisclaimerLine+1)},
	} {
		if _, err := NewDisclaimer(c[0], c[1], c[2]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type events []trace.Event

func (e *events) Record(x trace.Event) { *e = append(*e, x) }

func TestDisclaimersGoByTheSendersDomain(t *testing.T) {
	var told events
	s := New(Config{Disclaimers: []Disclaimer{*disclaimer(t, asciiText, "")}, Trace: &told})
	from := func(domain string) mail.Envelope {
		return mail.Envelope{From: mail.ReversePath{Address: mail.Address{Local: "ann", Domain: domain}}}
	}
	plain := crlf(head + "\nHi\n")
	if got := s.disclaim(from("NORTH.test"), plain); !bytes.Contains(got, []byte("Ask before")) {
		t.Errorf("got %q", got)
	}
	if got := s.disclaim(from("south.test"), plain); !bytes.Equal(got, plain) {
		t.Errorf("another domain: %q", got)
	}
	if got := s.disclaim(mail.Envelope{}, plain); !bytes.Equal(got, plain) || len(told) != 0 {
		t.Errorf("the null sender: %q, %v", got, told)
	}
	s.disclaim(from("north.test"), crlf("DKIM-Signature: x\n"+head+"\nHi\n"))
	if len(told) != 1 || !strings.Contains(told[0].Reason, "DKIM") {
		t.Errorf("told %+v", told)
	}
}

func FuzzDisclaim(f *testing.F) {
	for _, content := range wholesome {
		f.Add(crlf(content))
	}
	d, err := NewDisclaimer("north.test", plainText, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		kept := bytes.Clone(content)
		after, why := d.add(content)
		if !bytes.Equal(content, kept) {
			t.Fatal("what was given was changed")
		}
		if why != "" && !bytes.Equal(after, kept) {
			t.Error("changed, and it says why not")
		}
		if len(after) > 4*len(content)+4096 {
			t.Errorf("%d bytes became %d", len(content), len(after))
		}
	})
}
