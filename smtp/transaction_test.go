package smtp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"posthaste/mail"
)

var ann = mail.Address{Local: "ann", Domain: "north.test"}

func TestParseMail(t *testing.T) {
	for _, c := range []struct {
		claim, in string
		want      Mail
		code      int // of the error, or 0
	}{
		{"no parameters", "FROM:<ann@north.test>", Mail{From: mail.ReversePath{Address: ann}}, 0},
		{"null", "from:<>", Mail{}, 0},
		{"a space after the colon", "FROM: <ann@north.test>", Mail{From: mail.ReversePath{Address: ann}}, 0},
		{"all parameters", "FROM:<> size=10 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B1 AUTH=<> REQUIRETLS",
			Mail{Size: 10, Body: mail.Body8Bit, SMTPUTF8: true, Ret: mail.RetHdrs, EnvID: "QQ+1", Auth: "<>", RequireTLS: true}, 0},
		{"UTF-8 with SMTPUTF8", "FROM:<jörg@north.test> SMTPUTF8", Mail{From: mail.ReversePath{Address: mail.Address{Local: "jörg", Domain: "north.test"}}, SMTPUTF8: true}, 0},
		{"UTF-8 without it", "FROM:<jörg@north.test>", Mail{}, 553},
		{"a U-label without it", "FROM:<ann@bücher.test>", Mail{}, 553},
		{"a name alone, to be completed", "FROM:<postmaster>", Mail{From: mail.ReversePath{Address: mail.Address{Local: "postmaster"}}}, 0},
		{"no colon", "FROM <ann@north.test>", Mail{}, 501},
		{"no brackets", "FROM:ann@north.test", Mail{}, 501},
		{"nothing", "", Mail{}, 501},
		{"text after the path", "FROM:<>SIZE=1", Mail{}, 501},
		{"an unknown parameter", "FROM:<> SOON=120", Mail{}, 555},
		{"a parameter twice", "FROM:<> SIZE=1 size=2", Mail{}, 501},
		{"SIZE without value", "FROM:<> SIZE", Mail{}, 501},
		{"SIZE with an empty value", "FROM:<> SIZE=", Mail{}, 501},
		{"a negative SIZE", "FROM:<> SIZE=-1", Mail{}, 501},
		{"a SIZE over 63 bits", "FROM:<> SIZE=9223372036854775808", Mail{}, 501},
		{"a BODY unknown", "FROM:<> BODY=9BIT", Mail{}, 501},
		{"SMTPUTF8 with a value", "FROM:<> SMTPUTF8=1", Mail{}, 501},
		{"ENVID that is no xtext", "FROM:<> ENVID=a+b", Mail{}, 501},
		{"ENVID with a hidden line end", "FROM:<> ENVID=a+0D+0Ab", Mail{}, 501},
		{"ENVID too long", "FROM:<> ENVID=" + strings.Repeat("x", 101), Mail{}, 501},
		{"too many parameters", "FROM:<>" + strings.Repeat(" SIZE=1", 40), Mail{}, 501},
	} {
		got, err := ParseMail(c.in)
		if c.code != 0 {
			wantCode(t, c.claim, err, c.code)
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.claim, got, err, c.want)
		}
	}
}

func TestParseRcpt(t *testing.T) {
	for _, c := range []struct {
		claim, in string
		want      mail.Recipient
		code      int
	}{
		{"no parameters", "TO:<ann@north.test>", mail.Recipient{Address: ann}, 0},
		{"postmaster", "to:<postmaster>", mail.Recipient{Address: mail.Address{Local: "postmaster"}}, 0},
		{"DSN", "TO:<ann@north.test> NOTIFY=success,DELAY ORCPT=RFC822;a+2Bb@north.test",
			mail.Recipient{Address: ann, Notify: mail.NotifySuccess | mail.NotifyDelay, ORcpt: "rfc822;a+b@north.test"}, 0},
		{"never", "TO:<ann@north.test> NOTIFY=NEVER", mail.Recipient{Address: ann, Notify: mail.NotifyNever}, 0},
		{"an international original recipient", `TO:<ann@north.test> ORCPT=utf-8;j\x{F6}rg@north.test`,
			mail.Recipient{Address: ann, ORcpt: "utf-8;jörg@north.test"}, 0},
		{"an international original recipient as Postfix sends it", `TO:<ann@north.test> ORCPT=rfc822;j+C3+B6rg@north.test`,
			mail.Recipient{Address: ann, ORcpt: "utf-8;jörg@north.test"}, 0},
		{"an original recipient in Latin-1", `TO:<ann@north.test> ORCPT=rfc822;j+F6rg@north.test`, mail.Recipient{}, 501},
		{"never and another", "TO:<ann@north.test> NOTIFY=NEVER,DELAY", mail.Recipient{}, 501},
		{"an unknown condition", "TO:<ann@north.test> NOTIFY=LATER", mail.Recipient{}, 501},
		{"an ORCPT without type", "TO:<ann@north.test> ORCPT=ann@north.test", mail.Recipient{}, 501},
		{"an ORCPT with a hidden line end", "TO:<ann@north.test> ORCPT=rfc822;a+0D+0Ab", mail.Recipient{}, 501},
		{"an ORCPT too long", "TO:<ann@north.test> ORCPT=rfc822;" + strings.Repeat("x", 500), mail.Recipient{}, 501},
		{"an empty path", "TO:<>", mail.Recipient{}, 501},
		{"MAIL's parameter", "TO:<ann@north.test> SIZE=1", mail.Recipient{}, 555},
	} {
		got, _, err := ParseRcpt(c.in)
		if c.code != 0 {
			wantCode(t, c.claim, err, c.code)
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.claim, got, err, c.want)
		}
	}
}

func TestParseCommand(t *testing.T) {
	for in, want := range map[string]Command{
		"noop":                   {Verb: "NOOP"},
		"Noop  ":                 {Verb: "NOOP"},
		"EHLO  client.test ":     {Verb: "EHLO", Arg: "client.test"},
		"MAIL FROM:<a@b> SIZE=1": {Verb: "MAIL", Arg: "FROM:<a@b> SIZE=1"},
		"":                       {},
		" NOOP":                  {},
		"NO\x00OP":               {},
		"NO\rOP":                 {},
		"NOOP \xff":              {},
		"GET/ HTTP/1.1":          {},
	} {
		got, err := ParseCommand([]byte(in))
		if got != want || (err == nil) != (want.Verb != "") {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseHelo(t *testing.T) {
	for in, want := range map[string]string{
		"client.north.test": "client.north.test", "[192.0.2.1]": "[192.0.2.1]", "my_pc": "my_pc", "pc(x)": "pc?x?", "büro": "b?ro",
		"": "", "two words": "", strings.Repeat("x", 256): "",
	} {
		if got, err := ParseHelo(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseBdat(t *testing.T) {
	for in, want := range map[string]Bdat{"0": {}, "12": {Size: 12}, "12 last": {Size: 12, Last: true}} {
		if got, err := ParseBdat(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "LAST", "-1", "+1", "1 2", "1 LAST 2", "9223372036854775808", "0x10"} {
		_, err := ParseBdat(in)
		wantCode(t, in, err, 501)
	}
}

func FuzzParseMail(f *testing.F) {
	f.Add(`FROM:<"a b"@north.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x+2B AUTH=<>`)
	f.Add("FROM:<@a,@b:jörg@north.test> SMTPUTF8")
	f.Add("FROM:<a@north.test> HOLDFOR=60 BY=+120;RT MT-PRIORITY=-3 REQUIRETLS")
	f.Add("FROM:<a@north.test> HOLDUNTIL=2026-11-22T10:00:00.5Z BY=-1;n MT-PRIORITY=0")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMail(s)
		if err != nil {
			return
		}
		c, err := ParseCommand([]byte(m.String()))
		if err != nil || c.Verb != "MAIL" {
			t.Fatalf("%q prints %q: %v", s, m, err)
		}
		if back, err := ParseMail(c.Arg); err != nil || back != m {
			t.Errorf("%q: %s", m, cmp.Diff(m, back))
		}
	})
}

func FuzzParseRcpt(f *testing.F) {
	f.Add("TO:<ann@north.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@north.test")
	f.Add(`TO:<jörg@north.test> ORCPT=utf-8;j\x{F6}rg@x`)
	f.Fuzz(func(t *testing.T, s string) {
		r, _, err := ParseRcpt(s)
		if err != nil {
			return
		}
		c, err := ParseCommand([]byte(PrintRcpt(r)))
		if err != nil || c.Verb != "RCPT" {
			t.Fatalf("%q prints %q: %v", s, PrintRcpt(r), err)
		}
		if back, _, err := ParseRcpt(c.Arg); err != nil || back != r {
			t.Errorf("%q: %s", c.Arg, cmp.Diff(r, back))
		}
	})
}
