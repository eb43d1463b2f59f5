package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/config"
	"posthaste/mail"
)

// The sizes of a random world.
const (
	worldTime   = 24 * time.Hour
	worldMails  = 200
	worldFaults = 50
	smallWorld  = 3 // of which a test on the way takes one part
)

// torture tells whether there is time for the long forms.
func torture() bool { return os.Getenv("POSTHASTE_TORTURE") != "" }

// seeds returns how many random worlds to run, and how much smaller than a whole one they are: a few
// small ones, or with POSTHASTE_TORTURE=1 many. A given seed runs once, as large as it was.
func seeds() (count, part int) {
	switch {
	case torture() && os.Getenv(seedVariable) == "":
		return 200, 1
	case torture():
		return 1, 1
	case os.Getenv(seedVariable) != "":
		return 1, smallWorld
	}
	return 2, smallWorld
}

// Whatever fails, every recipient that got a 250 ends in exactly one of mailbox, next host and report.
func TestRandomWorlds(t *testing.T) {
	count, part := seeds()
	for n := range count {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *World) { randomWorld(t, w, part) })
		})
	}
}

// A chaos is a world in which much goes wrong.
type chaos struct {
	*World
	t    *testing.T
	plan *rand.Rand
	far  *Peer
	hub  *Peer // a smarthost
	box  *Peer // an LMTP server

	north, south, backup *Host
	slow                 map[string]time.Time // whom the peer has asked to come again
}

// An event is one thing that happens at a time.
type event struct {
	at   time.Duration
	what string
	do   func()
}

// randomWorld runs a world of 1/part of the size.
func randomWorld(t *testing.T, w *World, part int) {
	c := &chaos{World: w, t: t, plan: w.Rand(1), slow: map[string]time.Time{}}
	c.build()
	var events []event
	for range worldFaults / part {
		events = append(events, c.fault()...)
	}
	for range worldMails / part {
		// Most letters are on their way when something happens.
		at := c.moment()
		if c.plan.IntN(4) > 0 {
			at = max(0, pick(c, events...).at-time.Duration(c.plan.Int64N(int64(time.Second))))
		}
		events = append(events, c.letter(at))
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	stop := c.observe()
	c.play(events)
	c.heal()
	w.Settle(3 * 24 * time.Hour)
	stop()
	promised, broken := w.Ledger.Promises(), w.Net.Broken()
	t.Logf("%d deliveries promised, %d connections broken; %s", promised, broken, c.ways())
	if promised < worldMails/part/4 {
		t.Errorf("only %d deliveries were promised: this world proves nothing", promised)
	}
}

// build makes three hosts, the third one a backup of the second, and a moody peer.
func (c *chaos) build() {
	c.north, c.south, c.backup = c.Host("mx.north.test"), c.Host("mx.south.test"), c.Host("backup.south.test")
	c.hub, c.box = c.Peer("mx.hub.test", "hub.test"), c.LMTP("box.south.test")
	for _, h := range c.all() {
		h.Config.Route.Transports = []string{fmt.Sprintf("inline:{smart.test = smarthost:hub, box.test = lmtp:%s:24}", c.box.IP)}
		h.Config.Smarthosts = []config.Smarthost{{Name: "hub", Hosts: []string{"mx.hub.test"}, TLS: "plaintext"}}
		h.Start()
	}
	c.north.Domain("north.test", "ann", "amy")
	c.south.Domain("south.test", "bob", "bea", "ben")
	c.backup.Backup("south.test")
	c.south.Backup("box.test")
	c.north.Alias("both@north.test", "ben@south.test", "fred.home@far.test")
	c.north.Alias("gone@north.test", "norbert@far.test")
	c.box.AnswerAfterDot = c.boxAnswer()
	c.far = c.Peer("mx.far.test", "far.test")
	moods := c.Rand(2)
	c.far.Answer = func(env mail.Envelope, to mail.Address) *mail.Status {
		c.far.mu.Lock()
		defer c.far.mu.Unlock()
		key := env.From.String() + to.String()
		switch {
		case strings.HasPrefix(to.Local, "no"):
			return mail.NewStatus(550, "5.1.1", "nobody of that name")
		case c.slow[key].IsZero():
			c.slow[key] = time.Now()
			return mail.NewStatus(450, "4.7.1", "greylisted")
		case moods.IntN(4) == 0:
			return mail.NewStatus(451, "4.3.0", "not in the mood")
		}
		return nil
	}
	breaks := c.Rand(3)
	c.far.BreakAfterDot = func(mail.Envelope) bool {
		c.far.mu.Lock()
		defer c.far.mu.Unlock()
		return breaks.IntN(10) == 0
	}
}

// ways counts what came by way of each kind of forwarding.
func (c *chaos) ways() string {
	lmtp := len(c.box.Received())
	smarthost := len(c.hub.Received())
	srs, reports := 0, 0
	for _, r := range c.far.Received() {
		if strings.HasPrefix(r.From.String(), "SRS0") {
			srs++
		}
		if r.From.Null() {
			reports++
		}
	}
	return fmt.Sprintf("%d by LMTP, %d by smarthost, %d forwarded with SRS, %d reports to outside", lmtp, smarthost, srs, reports)
}

// boxAnswer is what the LMTP server says of each recipient: now and then it does not want to, and one
// it does not know.
func (c *chaos) boxAnswer() func(mail.Address) *mail.Status {
	moods := c.Rand(4)
	return func(to mail.Address) *mail.Status { // under the lock of the peer
		switch {
		case strings.HasPrefix(to.Local, "no"):
			return mail.NewStatus(550, "5.1.1", "nobody of that name")
		case moods.IntN(4) == 0:
			return mail.NewStatus(451, "4.3.0", "not in the mood")
		}
		return nil
	}
}

func (c *chaos) all() []*Host { return []*Host{c.north, c.south, c.backup} }

// play does all events at their times, each said in the log of the test.
func (c *chaos) play(events []event) {
	began := time.Now()
	for _, e := range events {
		time.Sleep(e.at - time.Since(began))
		c.log.Info("sim", "event", e.what, "at", e.at)
		e.do()
	}
}

// observe has all mailboxes looked at, every hour or so, until stop.
func (c *chaos) observe() (stop func()) {
	over := make(chan struct{})
	for login, h := range map[string]*Host{"ann@north.test": c.north, "amy@north.test": c.north, "bob@south.test": c.south, "bea@south.test": c.south} {
		o, p := NewObserver(login), NewPopper(login)
		c.running.Go(func() {
			for {
				c.Observe(h, o)
				c.Pop(h, p)
				select {
				case <-over:
					return
				case <-time.After(47 * time.Minute):
				}
			}
		})
	}
	return func() { close(over) }
}

func (c *chaos) moment() time.Duration {
	return time.Duration(c.plan.Int64N(int64(worldTime)))
}

func pick[T any](c *chaos, from ...T) T { return from[c.plan.IntN(len(from))] }

// letter plans a letter at a time: submitted by a user, or from outside.
func (c *chaos) letter(at time.Duration) event {
	var to []string
	for range 1 + c.plan.IntN(3) {
		to = append(to, pick(c, "ann@north.test", "amy@north.test", "bob@south.test", "bea@south.test", "nobody@south.test",
			"fay@far.test", "fred@far.test", "noone@far.test", "both@north.test", "gone@north.test", "sue@smart.test",
			"len@box.test", "noel@box.test"))
	}
	slices.Sort(to)
	to = slices.Compact(to)
	from, h, service := "ann@north.test", c.north, "submission"
	switch c.plan.IntN(4) {
	case 1:
		from, h = "bob@south.test", c.south
	case 2:
		from, service, h = "fay@far.test", "mx", pick(c, c.all()...)
	case 3:
		from, service, h = "fay@far.test", "lmtp", pick(c, c.all()...)
	}
	letter := c.Ledger.Letter(from, to...)
	if c.plan.IntN(20) == 0 {
		letter.Body = Noise(c.plan.Uint64(), 200_000)
	}
	return event{at, "letter " + letter.ID, func() {
		c.running.Go(func() { c.Send(h, service, letter) })
	}}
}

// fault plans something that goes wrong, and its end.
func (c *chaos) fault() []event {
	at, h, other := c.moment(), pick(c, c.all()...), pick(c, c.all()...)
	end := at + time.Duration(c.plan.Int64N(int64(pick(c, time.Minute, time.Hour, 6*time.Hour))))
	from := func(what string, do func()) event { return event{at, h.Name + ": " + what, do} }
	until := func(what string, do func()) event { return event{end, h.Name + ": " + what, do} }
	switch c.plan.IntN(8) {
	case 0, 1:
		return []event{from("power off", h.Crash), until("power on", func() { c.on(h) })}
	case 2:
		return []event{from("stop", h.Stop), until("start", func() { c.on(h) })}
	case 3:
		return []event{from("split", func() { c.Net.Split(h.IP, other.IP) }), until("heal", func() { c.Net.Heal(h.IP, other.IP) })}
	case 4:
		return []event{from("no DNS", func() { h.SetDNS(false) }), until("DNS", func() { h.SetDNS(true) })}
	case 5:
		return []event{from("disk full", func() { h.SetFull(true) }), until("space", func() { h.SetFull(false) })}
	}
	if c.plan.IntN(2) == 0 {
		return []event{from("reload", func() { c.reload(h) }), until("reload", func() { c.reload(h) })}
	}
	bad := Faults{Delay: pick(c, 10*time.Millisecond, 50*time.Millisecond, 2*time.Second), Loss: pick(c, 0, 0.1, 0.5), Cut: pick(c, 0, 0.1, 0.3)}
	return []event{
		from("bad network", func() { c.Net.SetFaults(bad); c.Net.Break(h.IP) }),
		until("good network", func() { c.Net.SetFaults(Healthy) }),
	}
}

// reload changes what a host that runs goes by. A full disk may refuse it.
func (c *chaos) reload(h *Host) {
	h.Config.Queue.Concurrency = 1 + (h.Config.Queue.Concurrency+3)%20
	if !h.Running() {
		return
	}
	if err := h.Reload(); err != nil && !h.disk.full.Load() {
		c.t.Errorf("%s does not reload: %v", h.Name, err)
	}
}

// on starts a host that does not run.
func (c *chaos) on(h *Host) {
	if !h.Running() {
		h.Start()
	}
}

// heal ends all faults.
func (c *chaos) heal() {
	c.Net.SetFaults(Healthy)
	for _, h := range c.all() {
		h.SetDNS(true)
		h.SetFull(false)
		for _, other := range c.all() {
			c.Net.Heal(h.IP, other.IP)
		}
		c.on(h)
	}
}
