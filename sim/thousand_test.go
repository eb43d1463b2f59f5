package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/smtp"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"posthaste/mail"
)

// A kind is how a host of the crowd behaves.
type kind string

// The kinds of hosts.
const (
	good        kind = "good"
	dead        kind = "dead" // does not answer at all
	slow        kind = "slow" // thinks for minutes about each message
	greylisting kind = "greylisting"
)

// The manners of bad hosts.
const (
	slowness = 4 * time.Minute
	greyTime = 5 * time.Minute
)

// A crowd is a thousand other hosts, each with a domain of its own, and one node that sends to them.
type crowd struct {
	*World
	t     *testing.T
	n     *Host
	hosts []*Peer
	kinds []kind
	rng   *rand.Rand

	mu   sync.Mutex           // guards what follows
	sent map[string]time.Time // when a letter was promised, by its Message-ID
}

const crowdSenders = 20

// newCrowd makes a crowd of a size; of every ten hosts one is, in turn, of each of these kinds.
func newCrowd(t *testing.T, w *World, size int, bad ...kind) *crowd {
	c := &crowd{World: w, t: t, rng: w.Rand(7), sent: map[string]time.Time{}}
	c.n = w.Host("mx.north.test")
	c.n.Config.Relay.Networks = []netip.Prefix{netip.PrefixFrom(client, 32)}
	c.n.Start()
	var users []string
	for i := range crowdSenders {
		users = append(users, fmt.Sprintf("s%d", i))
	}
	c.n.Domain("north.test", users...)
	for i := range size {
		p := w.Peer(fmt.Sprintf("mx.d%d.test", i), fmt.Sprintf("d%d.test", i))
		k := good
		if len(bad) > 0 && i%10 == 0 {
			k = bad[i/10%len(bad)]
		}
		c.behave(p, k)
		c.hosts, c.kinds = append(c.hosts, p), append(c.kinds, k)
	}
	return c
}

// behave makes a host of one kind.
func (c *crowd) behave(p *Peer, k kind) {
	switch k {
	case dead:
		c.Net.SetReachable(p.IP, false)
	case slow:
		p.Pause = slowness
	case greylisting:
		first := map[string]time.Time{}
		p.Answer = func(env mail.Envelope, to mail.Address) *mail.Status {
			p.mu.Lock()
			defer p.mu.Unlock()
			key := env.From.String() + " " + to.String()
			if first[key].IsZero() {
				first[key] = time.Now()
			}
			if time.Since(first[key]) < greyTime {
				return mail.NewStatus(450, "4.7.1", "greylisted, try again later")
			}
			return nil
		}
	}
}

// revive lets the dead hosts answer.
func (c *crowd) revive() {
	for i, p := range c.hosts {
		if c.kinds[i] == dead {
			c.Net.SetReachable(p.IP, true)
		}
	}
}

// load has all senders write to hosts at random, evenly over the time, and returns when all is sent.
func (c *crowd) load(letters int, lasts time.Duration) {
	each := make([][]Letter, crowdSenders)
	for i := range letters {
		s := i % crowdSenders
		to := fmt.Sprintf("u%d@d%d.test", i, c.rng.IntN(len(c.hosts)))
		each[s] = append(each[s], c.Ledger.Letter(fmt.Sprintf("s%d@north.test", s), to))
	}
	var senders sync.WaitGroup
	for s, mine := range each {
		pause := lasts / time.Duration(max(len(mine), 1))
		senders.Go(func() {
			time.Sleep(pause * time.Duration(s) / crowdSenders)
			c.send(mine, pause)
		})
	}
	senders.Wait()
}

// send hands letters over on one connection, one each pause, and again where the node went away.
func (c *crowd) send(letters []Letter, pause time.Duration) {
	next := time.Now()
	for len(letters) > 0 {
		taken := c.session(letters, &next, pause)
		if letters = letters[taken:]; taken == 0 {
			time.Sleep(time.Second)
		}
	}
}

// session returns how many letters were taken before the connection failed.
func (c *crowd) session(letters []Letter, next *time.Time, pause time.Duration) (taken int) {
	ctx, cancel := context.WithTimeout(background(), clientPatience)
	defer cancel()
	nc, err := c.Net.Dial(ctx, client, c.n.Address("mx"))
	if err != nil {
		return 0
	}
	defer nc.Close()
	s, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		return 0
	}
	for _, letter := range letters {
		time.Sleep(time.Until(*next))
		nc.SetDeadline(time.Now().Add(clientPatience))
		if c.hand(s, letter) != nil {
			return taken
		}
		*next = next.Add(pause)
		taken++
	}
	s.Quit()
	return taken
}

// hand hands one letter over and notes when that was promised.
func (c *crowd) hand(s *smtp.Client, letter Letter) error {
	if err := s.Mail(letter.From); err != nil {
		return err
	}
	if err := s.Rcpt(letter.To[0]); err != nil {
		return err
	}
	data, err := s.Data()
	if err == nil {
		_, err = data.Write([]byte(letter.Content()))
	}
	if err != nil {
		return err
	}
	outcome := Promised
	if err = data.Close(); err != nil {
		outcome = Unknown
	}
	c.Ledger.Note(letter, letter.To[0], outcome)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[letter.ID] = time.Now()
	return err
}

// delays returns how long letters took, in order, to the hosts that are good in a crowd of which a tenth
// is not, and how many came before then.
func (c *crowd) delays(then time.Time) (took []time.Duration, intime int) {
	for i, p := range c.hosts {
		if i%10 == 0 {
			continue
		}
		for _, r := range p.Received() {
			id := messageID.FindStringSubmatch(r.Content)[1]
			took = append(took, r.At.Sub(c.sent[id]))
			if r.At.Before(then) {
				intime++
			}
		}
	}
	slices.Sort(took)
	return took, intime
}

// quantile returns the value below which a share of sorted values lies.
func quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)-1, int(share*float64(len(took))))]
}

// A pace is how fast mail reached the good hosts.
type pace struct {
	perSecond          float64
	median, p99, worst time.Duration
}

// TestGoodHostsSeeNoDelayFromBadOnes sends the same mail to a thousand hosts twice, once with a tenth of
// them dead, slow or greylisting, and compares how it went with the others.
func TestGoodHostsSeeNoDelayFromBadOnes(t *testing.T) {
	letters, lasts := 500, 25*time.Second
	if torture() {
		letters, lasts = 40_000, 15*time.Minute
	}
	seed := Seed(t) // one for both
	run := func(name string, bad ...kind) (p pace) {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, seed, func(t *testing.T, w *World) {
				c := newCrowd(t, w, 1000, bad...)
				began := time.Now()
				c.load(letters, lasts)
				over := time.Now()
				time.Sleep(time.Hour)
				c.revive()
				w.Settle(24 * time.Hour)
				took, intime := c.delays(over)
				p = pace{float64(intime) / over.Sub(began).Seconds(), quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)}
				t.Logf("%d letters in %v; good hosts: %.1f a second, median %v, p99 %v, worst %v", letters, over.Sub(began),
					p.perSecond, p.median, p.p99, p.worst)
			})
		})
		return p
	}
	without := run("all good")
	with := run("a tenth dead, slow or greylisting", dead, slow, greylisting)
	if with.perSecond < 0.95*without.perSecond {
		t.Errorf("good hosts got %.1f messages a second, and %.1f where all were good", with.perSecond, without.perSecond)
	}
	if with.p99 > without.p99*3/2+100*time.Millisecond {
		t.Errorf("p99 of good hosts is %v, and %v where all were good", with.p99, without.p99)
	}
}

// TestACrowdThroughABadDay: two hours without a resolver, a loss of power in the middle of them, another
// in the middle of the retries, clocks that jump, and hosts that are dead for half a day. Nothing is lost
// and nothing bounced: time heals it all.
func TestACrowdThroughABadDay(t *testing.T) {
	letters, hosts := 200, 200
	if torture() {
		letters, hosts = 4000, 1000
	}
	inWorld(t, func(t *testing.T, w *World) {
		c := newCrowd(t, w, hosts, dead, slow, greylisting)
		var writing sync.WaitGroup
		writing.Go(func() { c.load(letters, 90*time.Minute) })
		time.Sleep(30 * time.Minute)
		c.n.SetDNS(false)
		time.Sleep(50 * time.Minute)
		c.n.Outage(10 * time.Minute)
		time.Sleep(time.Hour)
		writing.Wait()
		waiting := len(c.n.Queue())
		c.n.SetDNS(true)
		healed := time.Now()
		time.Sleep(time.Hour)
		t.Logf("%d wait at the end of the outage, %d an hour later", waiting, len(c.n.Queue()))
		c.waitsForBad()
		c.n.SetClock(3 * time.Hour)
		c.n.Outage(20 * time.Minute)
		time.Sleep(time.Hour)
		c.n.SetClock(-2 * time.Hour)
		time.Sleep(time.Hour)
		c.n.SetClock(30 * 24 * time.Hour)
		c.n.Outage(time.Minute) // a start finds all mail a month old
		time.Sleep(20 * time.Minute)
		c.n.SetClock(0)
		time.Sleep(8 * time.Hour)
		c.revive()
		revived := time.Now()
		w.Settle(12 * time.Hour)
		t.Logf("all delivered %v after the resolver was back, %v after the dead hosts were", time.Since(healed).Round(time.Minute), time.Since(revived).Round(time.Minute))
		c.wantNoReports()
		if w.Ledger.Promises() < letters*9/10 {
			t.Errorf("only %d of %d letters were promised", w.Ledger.Promises(), letters)
		}
	})
}

// waitsForBad complains of mail in the queue for hosts that only were away, or are slow. Those that
// greylist answer for the first time after an outage, and may have to wait once more.
func (c *crowd) waitsForBad() {
	for _, e := range c.n.Queue() {
		for _, r := range e.Recipients {
			var i int
			fmt.Sscanf(r.Address.Domain, "d%d.test", &i)
			if k := c.kinds[i]; k == good || k == slow {
				c.t.Errorf("mail for %s, a %s host, still waits: %v", r.Address, c.kinds[i], r.Status)
			}
		}
	}
}

// wantNoReports complains when mail was returned.
func (c *crowd) wantNoReports() {
	c.t.Helper()
	for key, fate := range c.Tally() {
		if fate.Reports > 0 {
			c.t.Errorf("%s to %s came back to its sender", key.id, key.to)
		}
	}
}

// TestALongQueueDrains: mail for a thousand hosts gathers while the network is away; the node restarts on
// all of it, and new mail does not wait for the old.
func TestALongQueueDrains(t *testing.T) {
	entries, hosts := 500, 500
	if torture() {
		entries, hosts = 200_000, 1000
		if n, err := strconv.Atoi(os.Getenv("POSTHASTE_TORTURE_ENTRIES")); err == nil {
			entries = n
		}
	}
	inWorld(t, func(t *testing.T, w *World) {
		c := newCrowd(t, w, hosts, dead, slow, greylisting)
		for _, p := range c.hosts {
			w.Net.SetReachable(p.IP, false)
		}
		c.load(entries, time.Duration(entries)*20*time.Millisecond)
		if n := len(c.n.Queue()); n != entries {
			t.Errorf("%d entries in the queue, want %d", n, entries)
		}
		time.Sleep(20 * time.Minute) // all were tried
		c.n.Outage(4 * time.Hour)
		started := time.Now()
		fresh := w.Peer("mx.fresh.test", "fresh.test")
		letter := w.Ledger.Letter("s0@north.test", "bob@fresh.test")
		mustPromise(t, w, c.n, "mx", letter)
		for len(fresh.Received()) == 0 && time.Since(started) < time.Hour {
			time.Sleep(100 * time.Millisecond)
		}
		waited := time.Since(started)
		for i, p := range c.hosts {
			w.Net.SetReachable(p.IP, c.kinds[i] != dead)
		}
		healed := time.Now()
		time.Sleep(5 * time.Hour)
		c.waitsForBad()
		c.revive()
		w.Settle(24 * time.Hour)
		c.wantNoReports()
		took, _ := c.delays(healed)
		t.Logf("a new letter among %d old ones was delivered %v after the start; the last old one to a good host %v after the network was back",
			entries, waited.Round(time.Millisecond), c.last().Sub(healed).Round(time.Second))
		if waited > 5*time.Second || len(took) < entries*8/10 {
			t.Errorf("a new letter took %v; %d of %d old ones reached good hosts", waited, len(took), entries)
		}
	})
}

// last returns when the last letter reached a good host.
func (c *crowd) last() (at time.Time) {
	for i, p := range c.hosts {
		if c.kinds[i] != good {
			continue
		}
		for _, r := range p.Received() {
			if r.At.After(at) {
				at = r.At
			}
		}
	}
	return at
}
