package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

// A teller prints the events of the nodes as they come, and lets the story wait for one.
type teller struct {
	out   io.Writer
	json  bool
	color bool

	mu      sync.Mutex // guards what follows, and writing
	started time.Time
	seen    map[trace.Step]bool
	events  []trace.Event // all so far
	news    chan struct{} // closed and replaced at every event
	held    []trace.Event // not printed yet: see settle
}

func newTeller(o Options) *teller {
	return &teller{out: o.Out, json: o.JSON, color: o.Color, seen: map[trace.Step]bool{}, news: make(chan struct{})}
}

// maxShown bounds what is shown of a report, in bytes.
const maxShown = 16 << 10

// maxFindings bounds what is shown of a verdict.
const maxFindings = 8

// settle is how long an event is held back, so that those of other nodes, which tell theirs every 100
// ms, can be put before it.
const settle = 400 * time.Millisecond

// tell takes one event of a node.
func (t *teller) tell(e trace.Event) {
	if e.Text == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[e.Step] = true
	t.events = append(t.events, e)
	close(t.news)
	t.news = make(chan struct{})
	t.held = append(t.held, e)
	if len(t.held) == 1 {
		time.AfterFunc(settle, t.release)
	}
}

// printFindings prints what led to a verdict: points, rule, and what was seen.
func (t *teller) printFindings(findings []mail.Finding) {
	for _, f := range findings[:min(len(findings), maxFindings)] {
		fmt.Fprintf(t.out, "%40s %s\n", "", t.style("2", fmt.Sprintf("%+5.1f  %-13s %s", f.Weight, f.Rule, cmp.Or(f.Evidence, f.Meaning))))
	}
}

// release prints what was held back, in order of time.
func (t *teller) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked()
}

func (t *teller) releaseLocked() {
	slices.SortStableFunc(t.held, func(a, b trace.Event) int { return a.Time.Compare(b.Time) })
	for _, e := range t.held {
		if t.json {
			json.NewEncoder(t.out).Encode(e)
		} else {
			t.print(e)
		}
	}
	t.held = nil
}

func (t *teller) print(e trace.Event) {
	if t.started.IsZero() {
		t.started = e.Time
	}
	mark := t.style("32", "✓")
	if !e.OK {
		mark = t.style("31", "✗")
	}
	fmt.Fprintf(t.out, "%s  %s %s %s %s\n", t.style("2", fmt.Sprintf("%8s", sinceText(e.Time.Sub(t.started)))),
		mark, t.style("36", fmt.Sprintf("%-17s", e.Node)), t.style("1", fmt.Sprintf("%-8s", e.Step)), e.Text)
	if e.Answered != "" && !e.OK {
		fmt.Fprintf(t.out, "%40s %s\n", "", t.style("33", firstLine(e.Answered)))
	}
	if e.Verdict != nil {
		t.printFindings(e.Verdict.Findings)
	}
}

// await returns once an event fits, seen already or to come.
func (t *teller) await(ctx context.Context, what string, fits func(trace.Event) bool) error {
	next := 0
	for {
		t.mu.Lock()
		events, news := t.events, t.news
		t.mu.Unlock()
		for ; next < len(events); next++ {
			if fits(events[next]) {
				return nil
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		}
	}
}

// missing returns a required step that no node recorded.
func (t *teller) missing() trace.Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, step := range required {
		if !t.seen[step] {
			return step
		}
	}
	return ""
}

// say prints lines for people, below the events so far; programs get events alone.
func (t *teller) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked()
	if t.json {
		return
	}
	fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *teller) note(text string) { t.say("%s", t.style("33", "          · "+text)) }

func (t *teller) opening(w *world) {
	t.say("%s", t.style("1", "Posthaste: a letter from "+ann+" to south.test"))
	t.say("Mail hosts, each a full node with a store of its own: %s (%s), %s (%s), and its backup %s (%s).",
		w.north.name, w.north.ip, w.south.name, w.south.ip, w.backup.name, w.backup.ip)
	if w.broken != "" {
		t.say("%s %s.", t.style("33", "Broken on purpose:"), Breaks[w.broken])
	}
	t.say("Each line below was recorded by the node it names.\n")
}

func (t *teller) arrived(added []byte) {
	t.say("\nBob has the letter, byte for byte as Ann sent it, by IMAP and by POP3. On its way it got these lines on top:\n")
	t.say("%s", t.style("2", indent(added)))
}

func (t *teller) reported(report []byte) {
	t.say("\nAnn reads this report by IMAP and by POP3:\n")
	body := report
	if parts := message.Parse(report).Root.Children; len(parts) > 0 {
		body = []byte(parts[0].Text(maxShown))
	}
	t.say("%s", t.style("2", indent(body)))
}

func (t *teller) ended(broken string) {
	if broken == "" {
		t.say("\n%s", t.style("32", "The journey ended as it should."))
		return
	}
	t.say("\n%s", t.style("32", "The story ended as it should, in spite of what was broken."))
}

func (t *teller) failed(err error) {
	t.say("\n%s", t.style("31", "The story did not end as it should: "+err.Error()))
}

func (t *teller) howToConnect(w *world) {
	t.say("\nThe mail hosts go on. Point a mail program at them (certificates are signed by %s):\n", w.caFile)
	t.say("%s", t.style("1", fmt.Sprintf("  %-15s %-10s %-10s  %-13s %-10s %-12s %-10s %s", "USER", "PASSWORD", "HOST", "IMAP STARTTLS", "IMAP TLS", "POP3 TLS", "SUBMISSION", "SUBMISSIONS TLS")))
	for user, h := range map[string]*host{ann: w.north, bob: w.south} {
		t.say("  %-15s %-10s %-10s  %-13s %-10s %-12s %-10s %s", user, password, h.ip,
			port(h.address("imap")), port(h.address("imaps")), port(h.address("pop3s")), port(h.address("submission")), port(h.address("submissions")))
	}
	t.say("\nFor instance: curl --cacert %s --resolve %s:%s:%s -u %s:%s imaps://%s:%s/INBOX", w.caFile,
		w.south.name, port(w.south.address("imaps")), w.south.ip, bob, password, w.south.name, port(w.south.address("imaps")))
	t.say("Ctrl-C ends it and removes everything it made.\n")
}

func (t *teller) style(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func sinceText(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func indent(text []byte) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n", "\n    ")
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return p
}
