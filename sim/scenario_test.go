package sim

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/admin"
	"posthaste/mail"
	"posthaste/mailfile"
)

// inWorld runs a story in virtual time. Whatever happened in it, the ledger must be right in the end:
// no promise broken, nothing twice without a fault that explains it.
func inWorld(t *testing.T, story func(t *testing.T, w *World)) {
	t.Helper()
	inWorldOf(t, Seed(t), story)
}

func inWorldOf(t *testing.T, seed uint64, story func(t *testing.T, w *World)) {
	t.Helper()
	t.Logf("%s=%d", seedVariable, seed)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := NewWorld(t, seed)
		defer w.Close()
		story(t, w)
		w.Ledger.Check(t, w.Tally(), w.Excuses())
		t.Logf("%v of virtual time", time.Since(began).Round(time.Second))
	})
	t.Logf("%v of real time", time.Since(began).Round(time.Millisecond))
}

// north returns a host with accounts for people at north.test.
func north(w *World, users ...string) *Host {
	h := w.Host("mx.north.test")
	h.Start()
	h.Domain("north.test", users...)
	return h
}

// mustPromise sends a letter that must be taken.
func mustPromise(t *testing.T, w *World, h *Host, service string, letter Letter) {
	t.Helper()
	if outcome, err := w.send(h, service, letter); outcome != Promised {
		t.Fatalf("letter from %s to %v: outcome %d, %v", letter.From, letter.To, outcome, err)
	}
}

// wantFate asks where a letter ended.
func wantFate(t *testing.T, w *World, letter Letter, want Fate) {
	t.Helper()
	tally := w.Tally()
	for _, to := range letter.To {
		if got := tally.Fate(letter, to); got != want {
			t.Errorf("%s to %s: %+v, want %+v", letter.ID, to, got, want)
		}
	}
}

func TestMailGoesFromNodeToNode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann", "amy")
		south := w.Host("mx.south.test")
		south.Start()
		south.Domain("south.test", "bob")
		letter := w.Ledger.Letter("ann@north.test", "bob@south.test", "amy@north.test")
		mustPromise(t, w, n, "submission", letter)
		w.Settle(time.Hour)
		wantFate(t, w, letter, Fate{Mailboxes: 1})
		if w.Net.Broken() != 0 {
			t.Errorf("%d connections broke in a healthy world", w.Net.Broken())
		}
	})
}

// Five days of retries: the sender hears of the delay once, then of the failure, and nobody hears more.
func TestFiveDaysOfRetriesEndInAReport(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		attempts := 0
		p := w.Peer("mx.far.test", "far.test")
		p.Answer = func(mail.Envelope, mail.Address) *mail.Status {
			attempts++
			return mail.NewStatus(451, "4.2.1", "the mailbox is asleep")
		}
		letter := w.Ledger.Letter("ann@north.test", "rip@far.test")
		mustPromise(t, w, n, "submission", letter)
		time.Sleep(4*24*time.Hour + 20*time.Hour)
		if got := w.Tally().Fate(letter, "rip@far.test"); got != (Fate{}) || len(n.Queue()) != 1 {
			t.Errorf("after nearly five days: %+v, %d in the queue; want it still tried", got, len(n.Queue()))
		}
		time.Sleep(12 * time.Hour)
		w.Settle(time.Hour)
		wantFate(t, w, letter, Fate{Reports: 1})
		if attempts < 25 || attempts > 100 {
			t.Errorf("%d attempts in five days, want one every few hours", attempts)
		}
		reports := mailbox(w, n, "ann@north.test")
		if len(reports) != 2 || !strings.Contains(reports[0], "Action: delayed") || !strings.Contains(reports[1], "Action: failed") ||
			!strings.Contains(reports[1], "asleep") {
			t.Errorf("ann has %d reports, want one of the delay and one of the failure that quotes the host: %.3000q", len(reports), reports)
		}
	})
}

func TestARestartForgetsNoRetry(t *testing.T) {
	for name, end := range map[string]func(*Host){"stopped": (*Host).Stop, "without power": (*Host).Crash} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *World) {
				n := north(w, "ann")
				open := false
				p := w.Peer("mx.far.test", "far.test")
				p.Answer = func(mail.Envelope, mail.Address) *mail.Status {
					if !open {
						return mail.NewStatus(450, "4.2.1", "come back on Tuesday")
					}
					return nil
				}
				letter := w.Ledger.Letter("ann@north.test", "bob@far.test", "bea@far.test")
				mustPromise(t, w, n, "submission", letter)
				time.Sleep(26 * time.Hour)
				end(n)
				open = true
				time.Sleep(30 * time.Hour)
				n.Start()
				w.Settle(5 * time.Hour)
				wantFate(t, w, letter, Fate{Peers: 1})
			})
		})
	}
}

// A resolver that fails for hours, or says SERVFAIL, means later, never a bounce.
func TestAResolverOutageNeverBounces(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		w.Peer("mx.far.test", "far.test")
		n.SetDNS(false)
		letter := w.Ledger.Letter("ann@north.test", "bob@far.test")
		mustPromise(t, w, n, "submission", letter)
		inward := w.Ledger.Letter("bob@far.test", "ann@north.test")
		mustPromise(t, w, n, "mx", inward)
		time.Sleep(20 * time.Hour)
		if len(n.Queue()) != 1 {
			t.Errorf("%d entries in the queue during the outage, want 1", len(n.Queue()))
		}
		n.SetDNS(true)
		w.Settle(8 * time.Hour)
		wantFate(t, w, letter, Fate{Peers: 1})
		wantFate(t, w, inward, Fate{Mailboxes: 1})
	})
}

func TestABackupTakesMailWhileThePrimaryIsAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		south, backup := w.Host("mx.south.test"), w.Host("backup.south.test")
		south.Start()
		south.Domain("south.test", "bob")
		backup.Start()
		backup.Backup("south.test")
		south.Crash()
		letter := w.Ledger.Letter("ann@north.test", "bob@south.test")
		mustPromise(t, w, n, "submission", letter)
		time.Sleep(10 * time.Minute)
		if len(n.Queue()) != 0 || len(backup.Queue()) != 1 {
			t.Errorf("after ten minutes %d wait at the sender and %d at the backup, want 0 and 1", len(n.Queue()), len(backup.Queue()))
		}
		time.Sleep(6 * time.Hour)
		south.Start()
		w.Settle(6 * time.Hour)
		wantFate(t, w, letter, Fate{Mailboxes: 1})
	})
}

// A reply that is lost after the end of data proves nothing: the message goes again, and no report.
func TestALostReplyAfterTheEndOfDataNeverBounces(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		p := w.Peer("mx.far.test", "far.test")
		lost := 0
		p.BreakAfterDot = func(mail.Envelope) bool { lost++; return lost <= 2 }
		letter := w.Ledger.Letter("ann@north.test", "bob@far.test")
		mustPromise(t, w, n, "submission", letter)
		w.Settle(24 * time.Hour)
		wantFate(t, w, letter, Fate{Peers: 3})
		if len(mailbox(w, n, "ann@north.test")) != 0 {
			t.Error("ann got a report about mail that arrived")
		}
	})
}

func TestAGreylistingHostIsReachedInTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		const wait = 5 * time.Minute
		first := map[string]time.Time{}
		p := w.Peer("mx.far.test", "far.test")
		p.Answer = func(env mail.Envelope, to mail.Address) *mail.Status {
			key := env.From.String() + " " + to.String()
			if first[key].IsZero() {
				first[key] = time.Now()
			}
			if time.Since(first[key]) < wait {
				return mail.NewStatus(450, "4.7.1", "greylisted, try again later")
			}
			return nil
		}
		letter := w.Ledger.Letter("ann@north.test", "bob@far.test")
		sent := time.Now()
		mustPromise(t, w, n, "submission", letter)
		w.Settle(2 * time.Hour)
		wantFate(t, w, letter, Fate{Peers: 1})
		if took := p.Received()[0].At.Sub(sent); took > 30*time.Minute {
			t.Errorf("greylisted for %v, delivered after %v", wait, took)
		}
	})
}

// The receiving node loses power when the message is committed and the 250 is not out: the sender
// comes again, and what was stored stays.
func TestPowerFailsBetweenCommitAndReply(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		south := w.Host("mx.south.test")
		south.Start()
		south.Domain("south.test", "bob")
		w.Net.SetFaults(Faults{Delay: 50 * time.Millisecond})
		committed := make(chan struct{})
		cancel := south.WatchMail("bob@south.test", sync.OnceFunc(func() { close(committed) }))
		letter := w.Ledger.Letter("ann@north.test", "bob@south.test")
		mustPromise(t, w, n, "submission", letter)
		<-committed
		cancel()
		south.Outage(time.Hour)
		w.Settle(12 * time.Hour)
		wantFate(t, w, letter, Fate{Mailboxes: 2})
	})
}

func TestASplitNetworkOnlyDelays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		south := w.Host("mx.south.test")
		south.Start()
		south.Domain("south.test", "bob")
		var letters []Letter
		w.Net.Split(n.IP, south.IP)
		for range 20 {
			letter := w.Ledger.Letter("ann@north.test", "bob@south.test")
			mustPromise(t, w, n, "submission", letter)
			letters = append(letters, letter)
		}
		time.Sleep(30 * time.Hour)
		w.Net.Heal(n.IP, south.IP)
		w.Settle(5 * time.Hour)
		for _, letter := range letters {
			wantFate(t, w, letter, Fate{Mailboxes: 1})
		}
	})
}

func TestUnknownRecipientsAreReportedOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		south := w.Host("mx.south.test")
		south.Start()
		south.Domain("south.test", "bob")
		letter := w.Ledger.Letter("ann@north.test", "nobody@south.test", "somebody@nowhere.test")
		mustPromise(t, w, n, "submission", letter)
		w.Settle(time.Hour)
		wantFate(t, w, letter, Fate{Reports: 1})
	})
}

// Clients that fall silent are told so and cost nothing after some minutes.
func TestSilentClientsAreClosed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		for _, service := range []string{"mx", "submission", "imap"} {
			for _, sent := range []string{"", "EHLO client.test\r\n", "EH"} {
				closesSilent(t, w, n, service, sent)
			}
		}
	})
}

// closesSilent asks how long a client that sends this and no more stays connected, also when its
// machine is gone without a word.
func closesSilent(t *testing.T, w *World, n *Host, service, sent string) {
	const patience = 31 * time.Minute // of IMAP (RFC 9051 section 5.4); SMTP's is shorter
	nc, err := w.Net.Dial(t.Context(), client, n.Address(service))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.Write([]byte(sent))
	nc.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(nc)
	if err != nil {
		t.Errorf("%s after %q: %q, %v: want to be told and closed", service, sent, text, err)
	}
	if !strings.Contains(string(text), "421 4.4.2") && !strings.Contains(string(text), "* BYE") {
		t.Errorf("%s after %q: closed without a word: %q", service, sent, text)
	}
}

// mailbox returns the messages in the INBOX of an address.
func mailbox(w *World, h *Host, address string) (contents []string) {
	err := h.Admin().Export(background(), admin.MailboxRequest{Address: address, Mailbox: "INBOX"}, func(m mailfile.Message) error {
		contents = append(contents, string(m.Content))
		return nil
	})
	w.must(err, "read INBOX of %s", address)
	return contents
}
