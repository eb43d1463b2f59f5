package reply

import (
	"strings"
	"testing"

	"posthaste/mail"
)

func TestAnswersAreFoundInWhatPeoplePaste(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"550 5.1.1 no such user", "550 5.1.1 no such user"},
		{"550-5.7.1 one\n550-5.7.1 two\r\n550 5.7.1 three", "550 5.7.1 one two three"},
		{"550-one 550 two", "550 one two"},
		{"Diagnostic-Code: smtp; 550 5.7.1 no\n  more", "550 5.7.1 no more"},
		{"smtp; 421 4.7.0 [TSS04] deferred", "421 4.7.0 [TSS04] deferred"},
		{"host mx.example[192.0.2.1] said: 554 5.7.1 refused (in reply to RCPT TO command)", "554 5.7.1 refused (in reply to RCPT TO command)"},
		{"dsn=5.1.1, status=bounced (550 gone)", "500 5.1.1 status=bounced (550 gone)"},
		{"Nov 22 16:00:00 mx postfix/smtp[550]: 450 later", "450 later"},
		{"5.2.2 mailbox full", "500 5.2.2 mailbox full"},
		{"550", "550 "},
		{"552 #5.3.4 size", "552 5.3.4 size"},
	} {
		got, err := Parse(c.in)
		if err != nil || got.Error() != c.want {
			t.Errorf("%q: %v, %v; want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "hello", "the 1550 people", "12345", "192.0.2.5"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("%q is taken for %v", in, got)
		}
	}
}

func TestKnownTextsAreKnown(t *testing.T) {
	for _, c := range []struct {
		text, rule string
		who        Who
	}{
		{"550-5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.", "gmail unauthenticated", OurAdmin},
		{"550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking", "gmail no such user", Sender},
		{"452 4.2.2 The email account that you tried to reach is over quota.", "gmail over quota", Recipient},
		{"421-4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address.", "gmail rate", OurAdmin},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).", "microsoft block list", OurAdmin},
		{"451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS4810)", "microsoft throttled", OurAdmin},
		{"550 5.7.515 Access denied, sending domain example.org does not meet the required authentication level.", "microsoft authentication", OurAdmin},
		{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", "yahoo deferral", OurAdmin},
		{"554 IP=192.0.2.1 - A problem occurred. Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.", "t-online", OurAdmin},
		{"554-gmx.net (mxgmx009) Nemesis ESMTP Service not available 554-No SMTP service 554-Bad DNS PTR resource record. 554 For explanation visit https://postmaster.gmx.net/en/error-messages", "gmx rdns", OurAdmin},
		{"550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1", "spamhaus", OurAdmin},
		{"450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/", "greylisting", Nobody},
		{"550 5.7.1 Email rejected per DMARC policy of example.org", "dmarc", OurAdmin},
		{"550 5.7.23 SPF validation failed: sender not authorized", "spf", OurAdmin},
		{"450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", "rdns", OurAdmin},
		{"552 5.2.2 Mailbox full", "mailbox full", Recipient},
		{"550 5.1.1 <x@y.example>: Recipient address rejected: User unknown in virtual mailbox table", "no such user", Sender},
		{"554 5.7.1 <x@y.example>: Relay access denied", "relaying", OurAdmin},
		{"530 5.7.0 Must issue a STARTTLS command first", "tls required", OurAdmin},
		{"552 5.3.4 Message size exceeds fixed limit", "size", Sender},
		{"550 High probability of spam", "spam", Sender},
		{"556 5.1.10 nobody home", "x.1.10", Sender},
		{"550 5.7.30 REQUIRETLS needed", "x.7.30", Sender},
		{"550 5.3.99 odd", "x.3", TheirAdmin},
		{"521 no", "521", Sender},
		{"599 no", "599", TheirAdmin},
	} {
		s, err := Parse(c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		if a := Of(s); a.Rule != c.rule || a.Who != c.who {
			t.Errorf("%s: %q %q, want %q %q", c.text, a.Rule, a.Who, c.rule, c.who)
		}
	}
}

func TestEveryEntryIsWhole(t *testing.T) {
	check := func(name string, e entry) {
		if e.class == "" || e.who == "" || !strings.HasSuffix(e.meaning, ".") || e.do == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for detail, e := range enhancedCodes {
		check(detail, e)
	}
	for code, e := range replyCodes {
		check(rule(code), e)
	}
	seen := map[string]bool{}
	for _, r := range rules {
		check(r.name, r.entry)
		if seen[r.name] {
			t.Errorf("%s is there twice", r.name)
		}
		seen[r.name] = true
		for _, p := range r.patterns {
			if p == "" || p != strings.ToLower(p) {
				t.Errorf("%s: pattern %q never matches as it should", r.name, p)
			}
		}
	}
}

func TestATemporaryAnswerSaysToWaitAndASuccessIsNone(t *testing.T) {
	if a := Explain(450, "4.2.2", "mailbox full"); a.Permanent || !strings.HasPrefix(a.Do[0], "Wait") {
		t.Errorf("%+v", a)
	}
	if a := Explain(250, "2.0.0", "not spam, no virus"); a.Class != Delivered || a.Permanent {
		t.Errorf("%+v", a)
	}
	// What was given up after days keeps the text of the last answer.
	if a := Explain(550, "5.4.7", "451 greylisted"); a.Rule != "x.4.7" {
		t.Errorf("%+v", a)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("550-5.7.1 one\n550 5.7.1 two")
	f.Add("Diagnostic-Code: smtp; 550 5.1.1 \xff")
	f.Add("4.7.1 see 550")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if s.Code < 200 || s.Code > 599 {
			t.Fatalf("code %d", s.Code)
		}
		again, err := Parse(s.Error())
		if err != nil || again.Code != s.Code || s.Enhanced != "" && again.Enhanced != s.Enhanced {
			t.Fatalf("%q is read again as %v, %v", s.Error(), again, err)
		}
		if a := Of(s); a.Meaning == "" || len(a.Do) == 0 || a.Who == "" || a.Class == "" {
			t.Fatalf("%q: %+v", text, a)
		}
	})
}

func FuzzExplain(f *testing.F) {
	f.Add(550, "5.1.1", "no")
	f.Add(0, ".", "\xff")
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		if a := Of(&mail.Status{Code: code, Enhanced: enhanced, Text: text}); a.Meaning == "" || len(a.Do) == 0 {
			t.Fatalf("%+v", a)
		}
	})
}
