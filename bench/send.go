package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A load is a number of messages handed over by several connections at once.
type load struct {
	address  string
	login    func(connection int) string // "" for none
	from     func(message int) string
	to       func(message int) string
	size     int
	conns    int
	messages int
	perConn  int // messages until a connection is made anew

	next  atomic.Int64
	dials atomic.Int64

	mu      sync.Mutex // guards what follows
	answers []time.Duration
	err     error
}

// run hands all messages over and returns how long that took.
func (l *load) run() (time.Duration, error) {
	letters := newLetters(l.size)
	start := time.Now()
	var clients sync.WaitGroup
	for range l.conns {
		clients.Go(func() {
			answers, err := l.client(letters)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.answers = append(l.answers, answers...)
			if l.err == nil {
				l.err = err
			}
		})
	}
	clients.Wait()
	return time.Since(start), l.err
}

// client sends messages, over one connection after the other, until none is left.
func (l *load) client(letters *letters) (answers []time.Duration, err error) {
	for more := true; more && err == nil; {
		n := int(l.dials.Add(1)) - 1
		c, dialErr := newSMTPClient(l.address, n, l.login(n))
		if dialErr != nil {
			return answers, dialErr
		}
		more, err = l.session(c, letters, &answers)
		c.quit()
	}
	return answers, err
}

// session sends what one connection carries, and tells whether there is more for the next one.
func (l *load) session(c *smtpClient, letters *letters, answers *[]time.Duration) (more bool, err error) {
	for range l.perConn {
		i := int(l.next.Add(1)) - 1
		if i >= l.messages {
			return false, nil
		}
		from, to := l.from(i), l.to(i)
		took, err := c.send(from, to, letters.letter(i, from, to))
		if err != nil {
			return false, fmt.Errorf("message %d: %w", i, err)
		}
		*answers = append(*answers, took)
	}
	return true, nil
}

// inbound measures mail from other hosts until all of it is visible.
func inbound(args []string) error {
	f := newFlags("inbound")
	l := &load{login: func(int) string { return "" }, from: sender}
	f.StringVar(&l.address, "smtp", "", "address of the mx service")
	imap := f.String("imap", "", "address of the imap service")
	f.IntVar(&l.size, "size", 4096, "bytes of a message")
	f.IntVar(&l.conns, "c", 10, "connections")
	f.IntVar(&l.messages, "n", 3000, "messages")
	f.IntVar(&l.perConn, "per", 100, "messages of one connection")
	users := f.Int("users", 20, "recipients, taken in turn")
	pids := f.String("pids", "", "processes of the server, to report their CPU time")
	f.Parse(args)
	l.to = func(i int) string { return userName(i, *users) }
	inboxes, err := watchInboxes(*imap, *users)
	if err != nil {
		return err
	}
	defer inboxes.close()
	cpu := cpuOf(*pids)
	start := time.Now()
	if _, err := l.run(); err != nil {
		return err
	}
	if err := inboxes.wait(l.messages); err != nil {
		return err
	}
	took := time.Since(start)
	name := fmt.Sprintf("inbound %s, %d connections", bytesName(l.size), l.conns)
	if l.perConn == 1 {
		name += ", a new one for each message"
	}
	report(name, float64(l.messages)/took.Seconds(), "msgs/s")
	report(name+": DATA p50", milliseconds(quantile(l.answers, 0.50)), "ms")
	report(name+": DATA p99", milliseconds(quantile(l.answers, 0.99)), "ms")
	if used := cpuOf(*pids) - cpu; used > 0 {
		report(name+": CPU of the server", float64(used.Microseconds())/float64(l.messages), "µs/msg")
	}
	return nil
}

// outbound measures submission until the sink, which stands for all other hosts, has everything.
func outbound(args []string) error {
	f := newFlags("outbound")
	l := &load{size: 4096, perConn: 500}
	f.StringVar(&l.address, "smtp", "", "address of the submission service")
	at := f.String("sink", "127.0.0.1:2626", "address to listen on as the other hosts")
	f.IntVar(&l.conns, "c", 10, "connections")
	f.IntVar(&l.messages, "n", 5000, "messages")
	domains := f.Int("domains", 20, "domains that mail goes to, taken in turn")
	tenth := f.String("tenth", "", "every tenth domain lies at another host, which is alive, or dead: it connects and never greets; what goes to the others is measured")
	f.Parse(args)
	user := userName(0, 1)
	l.login = func(int) string { return user }
	l.from = func(int) string { return user }
	l.to = func(i int) string { return fmt.Sprintf("reader@dest%d.example", i%*domains+1) }
	s, err := newSink(*at)
	if err != nil {
		return err
	}
	defer s.close()
	name, count := "outbound 4 KB, 10 connections", l.messages
	if *tenth != "" {
		name = fmt.Sprintf("outbound to %d domains, every tenth %s", *domains, *tenth)
		count = l.messages - l.messages/10
		l.to = func(i int) string {
			if isTenth(i) {
				return fmt.Sprintf("reader@tenth%d.example", i%*domains+1)
			}
			return fmt.Sprintf("reader@dest%d.example", i%*domains+1)
		}
		other, err := newTenth(*at, *tenth == "dead")
		if err != nil {
			return err
		}
		defer other.close()
	}
	start := time.Now()
	submitted, err := l.run()
	if err != nil {
		return err
	}
	if err := s.wait(count); err != nil {
		return err
	}
	took := time.Since(start)
	report(name+": submitted", float64(l.messages)/submitted.Seconds(), "msgs/s")
	report(name+": at the other hosts", float64(count)/took.Seconds(), "msgs/s")
	report(name+": twice", float64(s.repeats()), "msgs")
	return nil
}

// isTenth tells whether message i goes to one of the domains at the other host.
func isTenth(i int) bool { return i%10 == 9 }
