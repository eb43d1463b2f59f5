package sendmail

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"posthaste/drop"
	"posthaste/mail"
)

// A box is a drop directory with what is picked from it.
type box struct {
	dir   string
	taken []taken
}

type taken struct {
	env     mail.Envelope
	content string
}

func (b *box) Submit(_ context.Context, _ mail.Address, _ string, env mail.Envelope, content mail.Content) error {
	b.taken = append(b.taken, taken{env, string(content.Bytes())})
	return nil
}

// run runs sendmail and picks up what it left.
func run(t *testing.T, stdin string, args ...string) (status int, out string, got []taken) {
	t.Helper()
	b := &box{dir: filepath.Join(t.TempDir(), "drop")}
	if err := drop.Prepare(b.dir, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	ok := func(context.Context) int { printed.WriteString("called"); return OK }
	e := Env{In: strings.NewReader(stdin), Out: &printed, Err: &printed, Dir: b.dir, Hostname: "mx.north.test", MaxSize: 1000, List: ok, Flush: ok, Aliases: ok}
	status = Run(t.Context(), e, args)
	p := drop.NewPicker(drop.Config{Dir: b.dir, Domain: "north.test", Submit: b, Login: func(uint32) (string, string) { return "ann", "" }, Trusted: []string{"ann"}})
	if err := p.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	return status, printed.String(), b.taken
}

func addresses(recipients []mail.Recipient) (list []string) {
	for _, r := range recipients {
		list = append(list, r.Address.String())
	}
	return list
}

func TestTheCommandLinesOfPrograms(t *testing.T) {
	const cron = "From: root (Cron Daemon)\nTo: ann\nSubject: Cron <root@north> true\n\nout\n.\nmore\n"
	for _, c := range []struct {
		claim, stdin string
		args         []string
		from         string
		to           []string
		ends         string
	}{
		{"cron", cron, []string{"-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"}, "ann@north.test", []string{"root"}, "out\r\n.\r\nmore\r\n"},
		{"cron of Debian", cron, []string{"-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"}, "ann@north.test", []string{"root"}, "more\r\n"},
		{"PHP", "To: bob@south.test\nSubject: x\n\nbody\n", []string{"-t", "-i"}, "ann@north.test", []string{"bob@south.test"}, "body\r\n"},
		{"PHP with -f", "To: bob@south.test\r\nSubject: x\r\n\r\nbody\r\n", []string{"-t", "-i", "-fshop@south.test"}, "shop@south.test", []string{"bob@south.test"}, "\r\n\r\nbody\r\n"},
		{"git send-email", "From: a@b.test\nTo: l@kernel.test\n\npatch\n.\n", []string{"-f", "a@b.test", "-i", "l@kernel.test", "c@d.test"}, "a@b.test", []string{"l@kernel.test", "c@d.test"}, "patch\r\n.\r\n"},
		{"mailx", "Subject: x\n\nb\n", []string{"-i", "-r", "a@b.test", "--", "bob@south.test", "-odd@south.test"}, "a@b.test", []string{"bob@south.test", "-odd@south.test"}, "b\r\n"},
		{"letters stand together", "To: c@b.test\n\nx\n", []string{"-oi", "-tif", "a@b.test", "bob"}, "a@b.test", []string{"bob", "c@b.test"}, "x\r\n"},
		{"a dot ends the message", "Subject: x\n\nb\n.\nnot this\n", []string{"bob"}, "ann@north.test", []string{"bob"}, "\r\n\r\nb\r\n"},
		{"a script of sendmail's days", "Subject: x\n\nb\n", []string{"-oi", "-oem", "-odb", "-O", "DeliveryMode=b", "-om", "-bm", "-d0.1", "-C/etc/mail/x.cf", "-Am", "-G", "-U", "-h3", "-X/tmp/x", "-Lx", "bob"}, "ann@north.test", []string{"bob"}, "b\r\n"},
		{"the null sender", "Subject: x\n\nb\n", []string{"-f", "<>", "bob"}, "", []string{"bob"}, "b\r\n"},
		{"lists in arguments", "Subject: x\n\nb\n", []string{"bob,Carl <carl@south.test>, dan"}, "ann@north.test", []string{"bob", "carl@south.test", "dan"}, "b\r\n"},
		{"Bcc and Cc count with -t", "To: a@b.test\nCc: C <c@b.test>,\n  d@b.test\nBcc: e@b.test, a@b.test\n\nb\n", []string{"-t"}, "ann@north.test", []string{"a@b.test", "c@b.test", "d@b.test", "e@b.test"}, "b\r\n"},
		{"Resent fields come before the others", "To: a@b.test\nResent-To: z@b.test\n\nb\n", []string{"-t"}, "ann@north.test", []string{"z@b.test"}, "b\r\n"},
		{"an mbox separator is dropped", "From ann Mon Nov 2\nTo: a@b.test\n\nb\n", []string{"-t"}, "ann@north.test", []string{"a@b.test"}, "To: a@b.test\r\n\r\nb\r\n"},
	} {
		status, out, got := run(t, c.stdin, c.args...)
		if status != OK || len(got) != 1 {
			t.Errorf("%s: status %d, %d messages, %s", c.claim, status, len(got), out)
			continue
		}
		if m := got[0]; m.env.From.String() != c.from || !reflect.DeepEqual(addresses(m.env.Recipients), c.to) || !strings.HasSuffix(m.content, c.ends) {
			t.Errorf("%s: from %s to %v: %q", c.claim, m.env.From, addresses(m.env.Recipients), m.content)
		}
	}
}

func TestNotifyRetAndEnvID(t *testing.T) {
	_, _, got := run(t, "x\n", "-N", "success,delay", "-R", "hdrs", "-V", "id7", "-B7bit", "-F", "Ann\nEx", "bob")
	env := got[0].env
	if env.Recipients[0].Notify != mail.NotifySuccess|mail.NotifyDelay || env.Ret != mail.RetHdrs || env.EnvID != "id7" || env.Body != mail.Body7Bit ||
		!strings.Contains(got[0].content, "From: Ann Ex <ann@north.test>\r\n") {
		t.Errorf("%+v, %q", env, got[0].content)
	}
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		claim, stdin string
		args         []string
		status       int
	}{
		{"no recipient", "x", nil, Usage},
		{"no recipient in the header", "Subject: x\n\nb", []string{"-t"}, Usage},
		{"an option that nobody has", "x", []string{"-j", "bob"}, Usage},
		{"a value that is missing", "x", []string{"-f"}, Usage},
		{"a wrong condition", "x", []string{"-N", "maybe", "bob"}, Usage},
		{"a daemon", "", []string{"-bd", "-q15m"}, Unavailable},
		{"an address that is none", "x", []string{"bob@@south.test"}, DataErr},
		{"a sender that is none", "x", []string{"-f", "a b c", "bob"}, DataErr},
		{"too large", strings.Repeat("x", 1001), []string{"bob"}, Unavailable},
		{"mailq", "", []string{"-bp"}, OK},
		{"flush", "", []string{"-q"}, OK},
		{"flush with a time", "", []string{"-q30m"}, OK},
		{"newaliases", "", []string{"-bi"}, OK},
		{"newaliases of old", "", []string{"-I"}, OK},
	} {
		if status, out, got := run(t, c.stdin, c.args...); status != c.status || len(got) > 0 || out == "" {
			t.Errorf("%s: status %d, want %d; %d messages, printed %q", c.claim, status, c.status, len(got), out)
		}
	}
	var out bytes.Buffer
	e := Env{In: strings.NewReader("x"), Out: &out, Err: &out, Dir: filepath.Join(t.TempDir(), "none")}
	if status := Run(t.Context(), e, []string{"bob"}); status != ConfigErr || !strings.Contains(out.String(), "drop.enabled") {
		t.Errorf("without a directory: %d, %s", status, &out)
	}
}

func TestSMTPOnStandardInput(t *testing.T) {
	status, out, got := run(t, "EHLO x\r\nDATA\r\nMAIL FROM:<a@b.test> BODY=8BITMIME\r\nRCPT TO:<bob@south.test> NOTIFY=NEVER\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n"+
		"MAIL FROM:<>\r\nRCPT TO:<c@south.test>\r\nDATA\r\n"+strings.Repeat("x", 1500)+"\r\n.\r\nBOGUS\r\nQUIT\r\n", "-bs")
	if status != OK || len(got) != 1 {
		t.Fatalf("status %d, %d messages: %s", status, len(got), out)
	}
	m := got[0]
	if m.env.From.String() != "a@b.test" || m.env.Recipients[0].Notify != mail.NotifyNever || !strings.HasSuffix(m.content, "\r\n\r\n.dot\r\n") {
		t.Errorf("%+v %q", m.env, m.content)
	}
	var codes []string
	for line := range strings.Lines(out) {
		if len(line) > 3 && line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	if want := strings.Fields("220 250 503 250 250 354 250 250 250 354 552 502 221"); !reflect.DeepEqual(codes, want) {
		t.Errorf("replies %v, want %v\n%s", codes, want, out)
	}
	_, _, got = run(t, "HELO x\nMAIL FROM:<>\nRCPT TO:<c@south.test>\nDATA\nSubject: cut", "-bs")
	if len(got) != 0 {
		t.Errorf("a message that was cut off was sent: %v", got)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("-t -i -f a@b.test", "To: bob\n\nx")
	f.Add("-bs", "MAIL FROM:<>\nRCPT TO:<a@b.test>\nDATA\n.\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, args, stdin string) {
		ok := func(context.Context) int { return OK }
		var out bytes.Buffer
		e := Env{In: strings.NewReader(stdin), Out: &out, Err: &out, Dir: filepath.Join(dir, "none"), List: ok, Flush: ok, Aliases: ok}
		if status := Run(t.Context(), e, strings.Fields(args)); status != OK && out.Len() == 0 {
			t.Errorf("status %d without a word", status)
		}
	})
}
