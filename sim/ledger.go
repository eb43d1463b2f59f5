package sim

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"posthaste/admin"
	"posthaste/mailfile"
)

// A Letter is one message of a test.
type Letter struct {
	ID   string // in its Message-ID
	From string // an address, or empty for the null reverse-path
	To   []string
	Body string
}

// Content returns the message as it is sent.
func (l Letter) Content() string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%s@sim.test>\r\nDate: Sat, 1 Jan 2000 00:00:00 +0000\r\nSubject: %[3]s\r\n\r\n%[4]s\r\n",
		l.From, strings.Join(l.To, ">, <"), l.ID, l.Body)
}

// Noise returns lines of text, of size bytes in all, that compression makes little smaller: what is
// large enough becomes a blob.
func Noise(seed uint64, size int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	const width = 76
	rng := rand.New(rand.NewPCG(seed, 0))
	text := make([]byte, size)
	for i := range text {
		text[i] = letters[rng.IntN(len(letters))]
	}
	for i := width; i+1 < size; i += width + 2 {
		text[i], text[i+1] = '\r', '\n'
	}
	return string(text)
}

// An Outcome is what a client knows about a message it sent.
type Outcome int

// The outcomes.
const (
	Refused  Outcome = iota // not sent: a 4xx or 5xx, or the connection was lost before the end of data
	Unknown                 // the reply to the end of data was lost
	Promised                // a 250
)

// A Ledger notes what became of letters.
type Ledger struct {
	mu      sync.Mutex // guards what follows
	count   int
	letters map[string]Letter
	outcome map[delivery]Outcome
	aliases map[string][]string
}

// A delivery is one letter for one recipient.
type delivery struct{ id, to string }

func newLedger() *Ledger {
	return &Ledger{letters: map[string]Letter{}, outcome: map[delivery]Outcome{}, aliases: map[string][]string{}}
}

// Letter makes a letter of its own kind.
func (l *Ledger) Letter(from string, to ...string) Letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	letter := Letter{ID: fmt.Sprintf("m%d", l.count), From: from, To: to, Body: fmt.Sprintf("This is letter %d.", l.count)}
	l.letters[letter.ID] = letter
	return letter
}

// alias notes that what is promised to an address is owed to others.
func (l *Ledger) alias(address string, targets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aliases[address] = targets
}

// Note notes the outcome for a recipient; for an alias, that for all of its targets.
func (l *Ledger) Note(letter Letter, to string, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	owed := l.aliases[to]
	if owed == nil {
		owed = []string{to}
	}
	for _, to := range owed {
		key := delivery{letter.ID, to}
		l.outcome[key] = max(o, l.outcome[key])
	}
}

// Promises returns how many deliveries were promised.
func (l *Ledger) Promises() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outcome {
		if o == Promised {
			n++
		}
	}
	return n
}

// A Fate is where the copies of one letter for one recipient are.
type Fate struct {
	Mailboxes int // of hosts
	Peers     int // taken by other hosts
	Reports   int // that say it failed
}

// A Tally is all fates.
type Tally map[delivery]*Fate

// Fate returns what became of a letter for a recipient.
func (t Tally) Fate(letter Letter, to string) Fate { return *t.of(letter.ID, to) }

func (t Tally) of(id, to string) *Fate {
	key := delivery{id, to}
	if t[key] == nil {
		t[key] = new(Fate)
	}
	return t[key]
}

var (
	messageID = regexp.MustCompile(`(?m)^Message-ID: <(m\d+)@sim\.test>\r$`)
	perhaps   = regexp.MustCompile(`(?is)Final-Recipient: rfc822; ?(\S+)\r\n(?:\S[^\r]*\r\n)*?Action: (\w+)`)
)

// add counts one message that lies with owner.
func (t Tally) add(owner, content string, count func(*Fate)) {
	found := messageID.FindStringSubmatch(content)
	if found == nil {
		return
	}
	if head, _, _ := strings.Cut(content, "\r\n\r\n"); !strings.Contains(head, "multipart/report") {
		count(t.of(found[1], owner))
		return
	}
	for _, recipient := range perhaps.FindAllStringSubmatch(content, -1) {
		if strings.EqualFold(recipient[2], "failed") {
			t.of(found[1], recipient[1]).Reports++
		}
	}
}

// Tally looks into all mailboxes and peers. Hosts must run. It checks on the way that what accounts
// say they hold is what they hold.
func (w *World) Tally() Tally {
	w.t.Helper()
	t := Tally{}
	for _, h := range w.hosts {
		h.tally(t)
	}
	for _, p := range w.peers {
		for _, r := range p.Received() {
			t.add(r.To.String(), r.Content, func(f *Fate) { f.Peers++ })
		}
	}
	return t
}

func (h *Host) tally(t Tally) {
	w := h.world
	for account, err := range h.Admin().Accounts(background(), admin.DomainRequest{}) {
		w.must(err, "list the accounts of %s", h.Name)
		address := account.Address.String()
		var used, emails int64
		for box, err := range h.Admin().Mailboxes(background(), admin.MailboxRequest{Address: address}) {
			w.must(err, "list the mailboxes of %s", address)
			err = h.Admin().Export(background(), admin.MailboxRequest{Address: address, Mailbox: box.Name}, func(m mailfile.Message) error {
				used += int64(len(m.Content))
				emails++
				t.add(address, string(m.Content), func(f *Fate) { f.Mailboxes++ })
				return nil
			})
			w.must(err, "read %s of %s", box.Name, address)
		}
		if used != account.Used || emails != account.Emails {
			w.t.Errorf("%s: accounts for %d bytes in %d emails, but holds %d in %d", address, account.Used, account.Emails, used, emails)
		}
	}
}

// Check compares promises with what became of them: each ended in exactly one of a mailbox, another
// host and a report; nothing that was refused is anywhere; and not more came twice than duplicates,
// which is what faults explain.
func (l *Ledger) Check(t testing.TB, tally Tally, duplicates int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	twice := 0
	for key, outcome := range l.outcome {
		f := *tally.of(key.id, key.to)
		copies := f.Mailboxes + f.Peers + f.Reports
		complain := func(what string) {
			wrong = append(wrong, fmt.Sprintf("%s to %s: %s: %+v", key.id, key.to, what, f))
		}
		switch {
		case outcome == Promised && copies == 0:
			complain("promised, but lost")
		case outcome == Refused && copies > 0:
			complain("refused, but there")
		case f.Reports > 0 && f.Mailboxes+f.Peers > 0:
			complain("delivered, and reported as failed")
		case copies > 1:
			twice += copies - 1
		}
	}
	slices.Sort(wrong)
	for _, text := range wrong {
		t.Error(text)
	}
	if twice > duplicates {
		t.Errorf("%d copies too many, but %d faults that explain one", twice, duplicates)
	}
}
