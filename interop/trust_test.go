package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/smtp"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// login returns a client of the submission service that is logged in as ann.
func (w *site) login(t *testing.T) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(w.address("submission"))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.StartTLS(w.clientTLS()))
	must(t, c.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")))
	return c
}

// TestCardNumbersDoNotLeave submits the number of a payment card to somebody outside and to a colleague.
func TestCardNumbersDoNotLeave(t *testing.T) {
	w := newSite(t, settings{extra: "[[dlp]]\nname = \"cards\"\ndetect = [\"card\"]\nadvice = \"Ask accounting.\"\n"})
	c := w.login(t)
	const number = "4111 1111 1111 1111" // the one that everybody tests with
	content := "From: ann@north.test\r\nSubject: card\r\nMessage-ID: <card@north.test>\r\n\r\nTake " + number + ", it is valid.\r\n"
	err := hand(c, ann, "carl@client.test", content)
	if code(err) != 550 || !strings.Contains(err.Error(), "cards") || !strings.Contains(err.Error(), "Ask accounting.") {
		t.Errorf("the number is answered %v", err)
	}
	why := w.cli(t, "explain", "message", "card@north.test")
	contains(t, "explain message", why, "Refused", "cards")
	for _, told := range []string{fmt.Sprint(err), why, w.cli(t, "trace", ann), w.log.String()} {
		if strings.Contains(told, "4111 1111") || strings.Contains(told, "41111111") {
			t.Errorf("the number is told:\n%s", told)
		}
	}
	must(t, hand(c, ann, bob, content)) // the rule is about mail that leaves
	w.arrived(t, bob, 1)
}

// TestABurstIsHeld sends more than an account may in an hour.
func TestABurstIsHeld(t *testing.T) {
	w := newSite(t, settings{extra: "[limits]\nexempt = []\n[outflow]\nmessages_hour = 2\n"})
	c := w.login(t)
	for i := range 4 {
		must(t, hand(c, ann, bob, fmt.Sprintf("From: ann@north.test\r\nSubject: letter %d\r\n\r\nHello.\r\n", i)))
	}
	eventually(t, "two letters and the note about the others are there", func() bool {
		return len(w.mailbox(t, bob, "INBOX")) == 2 && len(w.mailbox(t, ann, "INBOX")) > 0
	})
	for _, m := range w.mailbox(t, ann, "INBOX") { // the first account is the postmaster's too
		contains(t, "the note", m.content, "Subject: Mail of ann@north.test is held", "posthaste queue release")
	}
	if held := w.cli(t, "queue", "list", "--state", "hold"); strings.Count(held, bob) != 2 {
		t.Errorf("held are:\n%s", held)
	}
	w.cli(t, "queue", "release", "--all")
	w.arrived(t, bob, 4)
}

// TestGuessersAreBannedEverywhere guesses passwords at one service and finds all closed.
func TestGuessersAreBannedEverywhere(t *testing.T) {
	w := newSite(t, settings{extra: "[limits]\nexempt = []\n"})
	var guessing sync.WaitGroup
	for i := range 15 { // different logins, at the same time: each wrong one is answered late
		guessing.Go(func() {
			c, err := smtp.Dial(w.address("submission"))
			if err != nil {
				return
			}
			defer c.Close()
			if c.StartTLS(w.clientTLS()) == nil {
				c.Auth(smtp.PlainAuth("", fmt.Sprintf("guess%d@north.test", i), fmt.Sprintf("wrong %d", i), "127.0.0.1"))
			}
		})
	}
	guessing.Wait()
	eventually(t, "the guesser is banned", func() bool { return strings.Contains(w.cli(t, "ban", "list"), "127.0.0.") })
	for service, want := range map[string]string{"mx": "421 ", "submission": "421 ", "imap": "* BYE ", "pop3": "-ERR "} {
		if got := w.greeting(t, service); !strings.HasPrefix(got, want) || !strings.Contains(got, "too many failed logins") {
			t.Errorf("%s greets with %q", service, got)
		}
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(strings.Split(w.cli(t, "ban", "list"), "\n")[1]), " ")
	w.cli(t, "ban", "remove", subject)
	if got := w.greeting(t, "imap"); !strings.HasPrefix(got, "* OK ") {
		t.Errorf("after the ban imap greets with %q", got)
	}
	w.submit(t, "From: ann@north.test\r\nSubject: at last\r\n\r\n.\r\n", bob)
	w.arrived(t, bob, 1)
}

func (w *site) greeting(t *testing.T, service string) string {
	t.Helper()
	conn, err := net.Dial("tcp", w.address(service))
	must(t, err)
	defer conn.Close()
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// TestMovesTeach trains the classifier by the command line, and then by what a reader does.
func TestMovesTeach(t *testing.T) {
	w := newSite(t, settings{})
	for class, words := range map[string]string{"spam": "pills casino winner cheap", "ham": "meeting agenda report holiday"} {
		var box strings.Builder
		for i := range 60 {
			fmt.Fprintf(&box, "From x Mon Nov 30 22:00:00 2026\nFrom: %s%d@corpus.test\nSubject: %s %d\nMessage-ID: <%s%d@corpus.test>\n\n%s number %d of many.\n\n",
				class, i, strings.Fields(words)[i%4], i, class, i, words, i)
		}
		contains(t, "spam learn", w.cli(t, "spam", "learn", "--"+class, writeFile(t, filepath.Join(w.dir, class+".mbox"), box.String())), "Learned from 60 messages")
	}
	for i := range 10 { // from ten lessons on an account's own opinion counts
		path := writeFile(t, filepath.Join(w.dir, fmt.Sprintf("own%d", i)), fmt.Sprintf("From: x@corpus.test\nSubject: garden %d\nMessage-ID: <own%d@corpus.test>\n\nroses tulips garden %d\n", i, i, i))
		w.cli(t, "spam", "learn", "--ham", "--account", ann, path)
	}
	c, err := w.dialMX()
	must(t, err)
	defer c.Close()
	const body = "Tremendous zeppelin brochures await: balloon voyages, gondola seats, helium discounts and stratosphere picnics."
	must(t, hand(c, "carl@client.test", ann, note("zeppelin-1", body)))
	must(t, hand(c, "carl@client.test", ann, note("zeppelin-2", body)))
	before := w.arrived(t, ann, 2)
	reader := w.imap(t, ann, nil)
	_, err = reader.Select("INBOX", nil).Wait()
	must(t, err)
	_, err = reader.Move(imap.SeqSetNum(1, 2), "Junk").Wait()
	must(t, err)
	n := 0
	eventually(t, "the next one alike is suspicious", func() bool {
		n++
		must(t, hand(c, "carl@client.test", bob, note(fmt.Sprintf("bobs-%d", n), body)))
		must(t, hand(c, "carl@client.test", ann, note(fmt.Sprintf("anns-%d", n), body)))
		why := w.cli(t, "explain", "message", fmt.Sprintf("anns-%d@client.test", n))
		return strings.Contains(why, "WORDS_SPAM")
	})
	for _, m := range append(before, w.mailbox(t, bob, "INBOX")...) {
		if strings.Contains(m.content, "\tWORDS_SPAM=") {
			t.Errorf("before the lesson, or for somebody who did not give it:\n%s", m.content)
		}
	}
}

// TestCorrespondentsAreKnown has ann write to ben, and ben, who proves who he is, answer.
func TestCorrespondentsAreKnown(t *testing.T) {
	w := newSite(t, settings{})
	must(t, w.dns.Add(`south.test. IN TXT "v=spf1 ip4:127.0.0.1 -all"`))
	must(t, w.dns.Add(`_dmarc.south.test. IN TXT "v=DMARC1; p=reject"`))
	c, err := w.dialMX()
	must(t, err)
	defer c.Close()
	const content = "From: Ben <%s>\r\nTo: ann@north.test\r\nSubject: %s\r\nMessage-ID: <%s@south.test>\r\nDate: Mon, 30 Nov 2026 22:00:00 +0000\r\n\r\nHello Ann.\r\n"
	ask := func(id, author, to string) string {
		must(t, hand(c, author, to, fmt.Sprintf(content, author, id, id)))
		return w.cli(t, "explain", "message", id+"@south.test")
	}
	if why := ask("stranger", "ben@south.test", ann); strings.Contains(why, "KNOWN_CORRESPONDENT") {
		t.Errorf("a stranger is known:\n%s", why)
	}
	w.submit(t, "From: ann@north.test\r\nTo: ben@south.test\r\nSubject: question\r\n\r\nWell?\r\n", "ben@south.test")
	contains(t, "the verdict about ben's answer", ask("answer", "ben@south.test", ann), "KNOWN_CORRESPONDENT", "ben@south.test")
	for claim, why := range map[string]string{
		"somebody else of his domain": ask("other", "eve@south.test", ann),
		"ben, whom bob never wrote":   ask("bobs", "ben@south.test", bob),
	} {
		if strings.Contains(why, "KNOWN_CORRESPONDENT") {
			t.Errorf("%s is known:\n%s", claim, why)
		}
	}
}
