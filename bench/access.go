package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An accessRun is what one user does in one mailbox.
type accessRun struct {
	address, user, mailbox string
	users                  int
	name                   string // of the mailbox, in the figures
}

// access measures what one client waits for.
func access(args []string) error {
	f := newFlags("access")
	a := &accessRun{user: userName(0, 1)}
	f.StringVar(&a.address, "imap", "", "address of the imap service")
	f.StringVar(&a.mailbox, "mailbox", "INBOX", "mailbox to work in")
	f.IntVar(&a.users, "users", 20, "users of mixed")
	ops := f.String("ops", "select,headers,bodies,search,store", "what to do: also append, mixed")
	f.Parse(args)
	a.name = a.mailbox
	steps := map[string]func() error{"select": a.selects, "headers": a.headers, "bodies": a.bodies,
		"search": a.searches, "store": a.stores, "append": a.appends, "mixed": a.mixed}
	for _, op := range strings.Split(*ops, ",") {
		if steps[op] == nil {
			return fmt.Errorf("there is no operation %q", op)
		}
		if err := steps[op](); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// session logs in and selects the mailbox, which holds n messages.
func (a *accessRun) session() (c *imapClient, n int, err error) {
	if c, err = newIMAPClient(a.address, 0, a.user); err != nil {
		return nil, 0, err
	}
	err = c.command(func(line []byte) {
		if bytes.HasSuffix(line, []byte(" EXISTS\r\n")) {
			fmt.Sscanf(string(line), "* %d EXISTS", &n)
		}
	}, "SELECT %s", a.mailbox)
	return c, n, err
}

func (a *accessRun) selects() error {
	const repeats = 20
	var took []time.Duration
	for range 1 + repeats {
		c, err := newIMAPClient(a.address, 0, a.user)
		if err != nil {
			return err
		}
		start := time.Now()
		err = c.command(nil, "SELECT %s", a.mailbox)
		took = append(took, time.Since(start))
		c.close()
		if err != nil {
			return err
		}
	}
	report(a.name+": SELECT, first", milliseconds(took[0]), "ms")
	report(a.name+": SELECT, again", milliseconds(quantile(took[1:], 0.5)), "ms")
	return nil
}

func (a *accessRun) headers() error {
	return a.fetch("FETCH headers", "ENVELOPE FLAGS BODYSTRUCTURE")
}

func (a *accessRun) bodies() error { return a.fetch("FETCH bodies", "BODY.PEEK[]") }

func (a *accessRun) fetch(what, items string) error {
	c, n, err := a.session()
	if err != nil {
		return err
	}
	defer c.close()
	got := 0
	start := time.Now()
	err = c.command(func(line []byte) {
		if bytes.Contains(line[:min(len(line), 30)], []byte(" FETCH ")) {
			got++
		}
	}, "UID FETCH 1:* (%s)", items)
	if err == nil && got != n {
		err = fmt.Errorf("%d of %d messages came", got, n)
	}
	report(a.name+": "+what, float64(got)/time.Since(start).Seconds(), "msgs/s")
	return err
}

func (a *accessRun) searches() error {
	c, _, err := a.session()
	if err != nil {
		return err
	}
	defer c.close()
	for _, key := range []string{"SUBJECT " + commonWord, "FROM host7.example", "TEXT " + rareWord, "UNSEEN"} {
		start := time.Now()
		if err := c.command(nil, "UID SEARCH %s", key); err != nil {
			return err
		}
		report(a.name+": SEARCH "+key, milliseconds(time.Since(start)), "ms")
	}
	return nil
}

func (a *accessRun) stores() error {
	c, _, err := a.session()
	if err != nil {
		return err
	}
	defer c.close()
	for _, sign := range []string{"+", "-"} {
		start := time.Now()
		if err := c.command(nil, `UID STORE 1:* %sFLAGS.SILENT (\Flagged)`, sign); err != nil {
			return err
		}
		report(a.name+": STORE "+sign+"FLAGS on all", milliseconds(time.Since(start)), "ms")
	}
	return nil
}

func (a *accessRun) appends() error {
	for _, conns := range []int{1, 10} {
		if err := a.appendOver(conns, 1000); err != nil {
			return err
		}
	}
	return nil
}

func (a *accessRun) appendOver(conns, n int) error {
	letters := newLetters(4096)
	took, err := inParallel(conns, n, func(int) (func(i int) error, func(), error) {
		c, err := newIMAPClient(a.address, 0, a.user)
		if err != nil {
			return nil, nil, err
		}
		c.command(nil, "CREATE appended") // may be there
		return func(i int) error { return c.append("appended", letters.letter(i, sender(i), a.user)) }, c.close, nil
	})
	report(fmt.Sprintf("APPEND, %d connections, one mailbox", conns), float64(n)/took.Seconds(), "msgs/s")
	return err
}

// mixed is what mail programs of many users do at once: mostly looking, now and then a change.
func (a *accessRun) mixed() error {
	const operations = 5000
	letters := newLetters(4096)
	took, err := inParallel(a.users, operations, func(worker int) (func(i int) error, func(), error) {
		c, err := newIMAPClient(a.address, worker, userName(worker, a.users))
		if err != nil {
			return nil, nil, err
		}
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		err = c.append("INBOX", letters.letter(worker, sender(worker), a.user))
		if err == nil {
			err = c.command(nil, "SELECT INBOX")
		}
		return func(i int) error { return c.anything(rng, letters, i) }, c.close, err
	})
	report(fmt.Sprintf("mixed, %d users", a.users), operations/took.Seconds(), "ops/s")
	return err
}

// anything does one thing that a mail program does.
func (c *imapClient) anything(rng *rand.Rand, letters *letters, i int) error {
	switch dice := rng.IntN(100); {
	case dice < 30:
		return c.command(nil, "FETCH * (FLAGS ENVELOPE)")
	case dice < 55:
		return c.command(nil, "FETCH * (BODY.PEEK[])")
	case dice < 70:
		return c.command(nil, "STATUS INBOX (MESSAGES UNSEEN)")
	case dice < 80:
		return c.command(nil, "NOOP")
	case dice < 90:
		return c.command(nil, `STORE * +FLAGS.SILENT (\Seen)`)
	case dice < 95:
		return c.command(nil, "UID SEARCH UNSEEN")
	default:
		return c.append("INBOX", letters.letter(i, sender(i), userName(0, 1)))
	}
}

// inParallel does n things over workers, each with what open returns, and says how long that took
// once all of them were open.
func inParallel(workers, n int, open func(worker int) (do func(i int) error, done func(), err error)) (time.Duration, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, workers)
	dos := make([]func(int) error, workers)
	for w := range workers {
		do, done, err := open(w)
		if err != nil {
			return 1, err
		}
		defer done()
		dos[w] = do
	}
	start := time.Now()
	for _, do := range dos {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(start)
	close(errs)
	return took, <-errs
}

// idle measures the memory of sessions that wait in IDLE.
func idle(args []string) error {
	f := newFlags("idle")
	address := f.String("imap", "", "address of the imap service")
	n := f.Int("n", 1000, "sessions")
	users := f.Int("users", 20, "users, taken in turn")
	pids := f.String("pids", "", "processes of the server")
	f.Parse(args)
	before, err := memory(*pids)
	if err != nil {
		return err
	}
	for i := range *n {
		c, err := newIMAPClient(*address, i, userName(i, *users))
		if err == nil {
			err = c.command(nil, "SELECT INBOX")
		}
		if err == nil {
			c.begin("IDLE")
			c.w.Flush()
			_, err = c.line()
		}
		if err != nil {
			return fmt.Errorf("session %d: %w", i, err)
		}
		defer c.close()
		c.r, c.w = nil, nil // the memory of the client is not the question
	}
	time.Sleep(3 * time.Second)
	after, err := memory(*pids)
	report(fmt.Sprintf("idle sessions, %d", *n), float64(after-before)/float64(*n)/1024, "KB each")
	return err
}
